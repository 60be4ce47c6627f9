import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { NetworkRecord } from '@caisson/wire'
import { expect, test } from 'vitest'
import { egressOf } from './egress.ts'
import { GateLine } from './gate-line.ts'
import { Guest } from './guest.ts'
import type { KeptAnswers } from './inspect/kept-answers.ts'
import { Searchers } from './search/searchers.ts'

test('of a connection that ended before it was let through nothing is left, and the record says that it has ended', async () => {
  const egress = await egressOf({ mode: 'open', inspect: true }, async () => [])
  const records: NetworkRecord[] = []
  const write = (record: NetworkRecord) => void records.push(record)
  const guest = new Guest({ sandbox: 'i1', egress, auditBytes: 10_000, canaries: [], write, searchers: new Searchers('') })
  const found: ((addresses: string[]) => void)[] = []
  const house = {
    guest: () => guest,
    addresses: () => new Promise<string[]>((resolve) => found.push(resolve)),
    secret: async () => undefined,
    unseal: async () => undefined,
    answers: undefined as unknown as KeptAnswers,
  }
  const lines: GateLine[] = []
  const server = createServer((peer: Socket) => lines.push(new GateLine(peer, house))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const gate = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const say = (said: object) => gate.write(`${JSON.stringify(said)}\n`)
  let heard = ''
  gate.on('data', (bytes) => {
    heard += bytes
  })
  say({ ask: 'hello', sandbox: 'i1', generation: 1 })
  const asked = { ask: 'connect', name: 'a.example', address: null, port: 80, way: 'direct' }
  for (const connection of [1, 2]) say({ ...asked, seq: connection, connection })
  say({ ask: 'closed', connection: 1, bytesOut: 0, bytesIn: 0, why: 'failed' })
  // Heard in their order: the end, too, has been heard when this has.
  say({ ask: 'refused', what: 'udp', count: 1, detail: '' })
  await expect.poll(() => [found.length, records.length]).toEqual([2, 1])
  for (const resolve of found) resolve(['1.1.1.1'])
  await expect.poll(() => heard.trim().split('\n').length).toBe(2)
  expect([lines[0]?.inspected(1) === undefined, lines[0]?.inspected(2) === undefined]).toEqual([true, false])
  await expect.poll(() => records.slice(1).map(({ kind }) => kind)).toEqual(['network', 'network', 'network-end'])
  expect(records.at(-1)).toMatchObject({ connection: 1, bytesOut: 0, why: 'failed' })
  gate.destroy()
  server.close()
})
