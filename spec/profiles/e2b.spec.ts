import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { OwnAddresses } from '../airlock/own-addresses.ts'
import { Canary } from '../airlock/servers.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { accept, PROGRAMS } from '../e2b/program.ts'

// The walk is a program of its own, with E2B's own package; all that the package can is in spec/e2b.

let daemon: SpecDaemon
beforeAll(async () => {
  daemon = await SpecDaemon.open({ env: { CAISSON_POOL: '1' } })
})
afterAll(() => daemon[Symbol.asyncDispose]())

test('what its users do, in the order of the documentation, and what is refused', async () => {
  await using addresses = await OwnAddresses.open(1)
  const [address = ''] = addresses.v4
  using canary = await Canary.open((peer) => peer.end('of the host'), address)
  const program = join(PROGRAMS, 'walk/walk.mjs')
  const held = await accept(process.execPath, [program], { ...daemon.environment, HOST_SERVER: `${address}:${canary.port}` })
  expect(held.length).toBe(9)
  expect(canary.connections).toBe(0)
  expect(existsSync('/usr/share/doc/mark')).toBe(false)
}, 300_000)
