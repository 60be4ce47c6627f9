import { expect, test } from 'vitest'
import { egressOf } from './egress.ts'
import { Guest } from './guest.ts'
import { Conversation } from './inspect/conversation.ts'
import { ServerTrust } from './inspect/dial.ts'
import type { Question, Reply } from './inspect/exchange.ts'
import type { Inspected } from './inspect/inspected.ts'
import { Upstreams } from './inspect/upstreams.ts'
import { Searchers } from './search/searchers.ts'

test('so many requests of one sandbox are under way at once; one more is refused, and one that is over, however it ended, makes room', async () => {
  const egress = await egressOf('open', async () => [])
  const guest = new Guest({ sandbox: 'i1', egress, auditBytes: 1, canaries: [], write: () => undefined, searchers: new Searchers('') })
  const others = Array.from({ length: 1023 }, () => guest.begin())
  const refused: string[] = []
  const refuse = (_: unknown, rule: string, reason: string) => {
    refused.push(`${rule}: ${reason}`)
    return { rule, reason, wouldAllow: null }
  }
  let answer: () => void = () => refuse(null, 'nobody', 'waits yet')
  const judged = new Promise<never>((_, reject) => {
    answer = () => reject(new Error('over'))
  })
  const about = { sandbox: 'i1', name: 'a.example', address: null, port: 80, isProxied: false }
  const inspected = { ...about, begin: () => guest.begin(), judge: () => judged, refuse, reset: () => undefined } as Inspected
  const conversation = new Conversation(inspected, 'http', new Upstreams(new ServerTrust(async () => [])))
  const question = { version: 1, method: 'GET', scheme: 'http', authority: null, path: '/', fields: [], body: null } as const
  const statuses: number[] = []
  const ask = () =>
    new Promise<void>((resolve) => {
      const begin = (status: number) => {
        statuses.push(status)
        resolve()
        return { write: () => true } as never
      }
      const reply: Reply = {
        isBegun: false,
        inform: () => undefined,
        begin,
        finish: () => undefined,
        letGo: () => undefined,
        breakOff: () => undefined,
        onGone: () => undefined,
      }
      conversation.asked({ ...question, isWhole: () => true, trailers: () => [] } satisfies Question, reply)
    })
  const waits = ask()
  await ask()
  expect([statuses, refused]).toEqual([[503], ['inspect: more than 1024 of its requests are under way at once']])
  answer()
  await waits
  expect(statuses).toEqual([503, 502])
  expect(others.every((over) => typeof over === 'function')).toBe(true)
  await expect.poll(() => typeof guest.begin()).toBe('function')
})
