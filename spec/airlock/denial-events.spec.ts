import { expect, test } from 'vitest'
import type { SandboxHappening } from '../../client/index.ts'
import { sharedDaemonLine } from '../cli/daemon-line.ts'

const daemon = sharedDaemonLine()

test('the SDK tells what a sandbox is denied as it happens, what becomes of it, and its end last', async () => {
  const sandbox = await daemon().sandbox({ network: 'allow:good.example:443' })
  const heard: SandboxHappening[] = []
  const listening = (async () => {
    for await (const event of sandbox.events()) heard.push(event)
  })()
  const denied = () => heard.flatMap((event) => (event.kind === 'denied' ? [`${event.host}:${event.port}`] : []))
  // The first try may come before anybody listens.
  await expect
    .poll(
      async () => {
        await sandbox.commands.run('curl -sS --max-time 20 http://203.0.113.7/ https://other.example/; true')
        return denied()
      },
      { timeout: 60_000 },
    )
    .toEqual(expect.arrayContaining(['203.0.113.7:80', 'other.example:null']))
  expect(heard.find((event) => event.kind === 'denied' && event.host === 'other.example')).toMatchObject({ wouldAllow: 'other.example' })
  await sandbox.pause()
  await sandbox.resume()
  await sandbox.kill()
  await listening
  expect(heard.filter(({ kind }) => kind !== 'denied').map(({ kind }) => kind)).toEqual(['paused', 'resumed', 'gone'])
})

test('denials are told of one sandbox, to its owner', async () => {
  const ask = (query: string) =>
    fetch(`${daemon().url}/caisson/v1/events?${query}`, { headers: { 'x-api-key': daemon().variables['E2B_API_KEY'] ?? '' } })
  expect((await ask('denials=true')).status).toBe(400)
  expect((await ask('denials=true&sandbox=inobody')).status).toBe(404)
})
