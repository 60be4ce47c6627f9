import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { OwnAddresses } from '../airlock/own-addresses.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { accept, PROGRAMS } from './program.ts'
import { pythonWith } from './python.ts'

const folder = join(PROGRAMS, 'network')
const isRoot = process.getuid?.() === 0

describe.runIf(isRoot)(
  "E2B's network rules, with their own packages (this spec adds addresses to the loopback, and needs root for it)",
  () => {
    let daemon: SpecDaemon | undefined
    let own: OwnAddresses | undefined
    let environment: Record<string, string>
    const servers: Server[] = []

    beforeAll(async () => {
      const named: string[] = []
      own = await OwnAddresses.open(2)
      for (const address of own.v4) {
        const server = createServer((_, reply) => reply.end('hello')).listen(0, address)
        await once(server, 'listening')
        servers.push(server)
        named.push(`${address}:${(server.address() as AddressInfo).port}`)
      }
      daemon = await SpecDaemon.open({ env: { CAISSON_ALLOW_PRIVATE: named.join(',') } })
      environment = { ...daemon.environment, FIRST_SERVER: named[0] ?? '', SECOND_SERVER: named[1] ?? '' }
    })

    afterAll(async () => {
      await daemon?.[Symbol.asyncDispose]()
      for (const server of servers) server.close().closeAllConnections()
      await own?.[Symbol.asyncDispose]()
    })

    it('JavaScript', { timeout: 300_000 }, async () => {
      await accept(process.execPath, [join(folder, 'network.mjs')], environment)
    })

    it('Python', { timeout: 600_000 }, async () => {
      await accept(await pythonWith('requirements.txt'), [join(folder, 'network.py')], environment)
    })
  },
)
