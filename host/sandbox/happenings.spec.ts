import type { Death, NetworkRecord, SandboxHappening } from '@caisson/wire'
import { expect, test } from 'vitest'
import { Denials } from '../airlock/denials.ts'
import { settled } from '../lifetimes.ts'
import { happeningsOf } from './happenings.ts'

const record = (port: number, verdict: 'deny' | 'tunnel' = 'deny', sandbox = 'e1'): NetworkRecord => ({
  kind: 'network',
  sandbox,
  connection: port,
  name: 'good.example',
  address: null,
  port,
  way: 'direct',
  verdict,
  rule: 'mode allow',
  reason: 'no rule allows it',
  wouldAllow: 'good.example',
})
const death = { reason: 'kill', endedMs: 7 } as unknown as Death

test('each denial of that sandbox is told, what is let through is not, and its end is the last', async () => {
  const [denials, ended] = [new Denials(), settled<Death>()]
  const heard: SandboxHappening[] = []
  const listening = (async () => {
    for await (const happening of happeningsOf({ id: 'e1', ended: ended.promise }, denials, new AbortController().signal))
      heard.push(happening)
  })()
  denials.tell(record(1))
  denials.tell(record(2, 'tunnel'))
  denials.tell(record(3, 'deny', 'e2'))
  await expect.poll(() => heard.length).toBe(1)
  denials.tell(record(4))
  ended.resolve(death)
  await listening
  expect(heard).toMatchObject([
    { kind: 'denied', host: 'good.example', port: 1, wouldAllow: 'good.example', missed: 0 },
    { kind: 'denied', port: 4 },
    { kind: 'gone', atMs: 7, reason: 'kill' },
  ])
})

test('a flood holds nobody up: what is too much is counted, and the end is told all the same', async () => {
  const [denials, ended] = [new Denials(), settled<Death>()]
  const all = happeningsOf({ id: 'e1', ended: ended.promise }, denials, new AbortController().signal)
  const first = all.next()
  for (let port = 1; port <= 2000; port += 1) denials.tell(record(port))
  await first
  for (let next = 2; next <= 500; next += 1) expect((await all.next()).value).toMatchObject({ kind: 'denied', port: next })
  denials.tell(record(3000))
  expect((await all.next()).value).toMatchObject({ port: 3000, missed: 1500 })
  ended.resolve(death)
  expect((await all.next()).value).toMatchObject({ kind: 'gone' })
  expect((await all.next()).done).toBe(true)
})

test('who goes away is forgotten', async () => {
  const denials = new Denials()
  const leaving = new AbortController()
  const all = happeningsOf({ id: 'e1', ended: settled<Death>().promise }, denials, leaving.signal)
  const next = all.next()
  leaving.abort()
  expect((await next).done).toBe(true)
  denials.tell(record(1))
})
