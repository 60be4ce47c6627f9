import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OwnAddresses } from '../airlock/own-addresses.ts'
import { SocksServer } from '../airlock/socks-server.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { accept, PROGRAMS } from './program.ts'
import { pythonWith } from './python.ts'

const folder = join(PROGRAMS, 'network')
const WORDS = 'me:tr4velling-light'
const isRoot = process.getuid?.() === 0

describe.runIf(isRoot)(
  "E2B's network rules, with their own packages (this spec adds addresses to the loopback, and needs root for it)",
  () => {
    let daemon: SpecDaemon | undefined
    let own: OwnAddresses | undefined
    let socks: SocksServer | undefined
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
      socks = await SocksServer.open({ credentials: WORDS })
      const proxy = `127.0.0.1:${socks.port}`
      daemon = await SpecDaemon.open({ env: { CAISSON_ALLOW_PRIVATE: [...named, proxy].join(',') } })
      const told = { FIRST_SERVER: named[0] ?? '', SECOND_SERVER: named[1] ?? '', EGRESS_PROXY: proxy, EGRESS_PROXY_WORDS: WORDS }
      environment = { ...daemon.environment, ...told }
    })

    afterAll(async () => {
      await daemon?.[Symbol.asyncDispose]()
      for (const server of servers) server.close().closeAllConnections()
      socks?.[Symbol.dispose]()
      await own?.[Symbol.asyncDispose]()
    })

    it('JavaScript', { timeout: 300_000 }, async () => {
      await accept(process.execPath, [join(folder, 'network.mjs')], environment)
      // Each by the address that was checked: of the connections of two sandboxes, two before and after a pause.
      expect(socks?.asked).toEqual(Array(3).fill(`1 ${environment['FIRST_SERVER']}`))
      const home = daemon?.home ?? ''
      const files = await readdir(home, { recursive: true, withFileTypes: true })
      const kept = files
        .filter((file) => file.isFile() && !file.name.endsWith('.img'))
        .map(({ parentPath, name }) => join(parentPath, name))
      expect(kept.map((path) => path.slice(home.length + 1))).toContain('seal.key')
      for (const path of kept) expect([path, (await readFile(path)).includes(WORDS.split(':')[1] ?? '')]).toEqual([path, false])
    })

    it('Python', { timeout: 600_000 }, async () => {
      await accept(await pythonWith('requirements.txt'), [join(folder, 'network.py')], environment)
    })
  },
)
