import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { everyWall } from '../walls/every-wall.ts'
import { python } from './gated.ts'
import { Hosted, rules } from './hosted.ts'
import { OwnAddresses } from './own-addresses.ts'
import { Canary, echo } from './servers.ts'
import { WAYS, ways } from './ways.ts'

const all = WAYS + python`every_way()`

describe.runIf(process.getuid?.() === 0)('every way out (this spec adds addresses to the loopback, and needs root for it)', () => {
  let own: OwnAddresses
  beforeAll(async () => {
    own = await OwnAddresses.open(2)
  })
  afterAll(async () => {
    await own?.[Symbol.asyncDispose]()
  })

  everyWall((wall) => {
    test('is open to the server that is named, and shut to the one beside it, which hears nothing', async () => {
      const [v4 = '', other4 = ''] = own.v4
      const [v6 = '', other6 = ''] = own.v6
      using server = await Canary.open(echo, v4)
      using server6 = await Canary.open(echo, v6)
      using other = await Canary.open(echo, other4)
      using other6Server = await Canary.open(echo, other6)
      const named = [...own.v4, ...own.v6]
      await using hosted = await Hosted.open(rules(['good.example', `${v4}:${server.port}`, `[${v6}]:${server6.port}`], named), null, {
        wall,
      })
      Object.assign(hosted.names, { 'good.example': [v4], 'other.example': [other4] })
      const open = ways(await hosted.python(all, { name: 'good.example', v4, v6, port: server.port, port6: server6.port }))
      expect(open).toHaveLength(14)
      for (const { way, said } of open) expect([way, said]).toEqual([way, way.startsWith('dns') ? '0' : "b'hello'"])
      expect([server.connections + server6.connections, server.bytes + server6.bytes]).toEqual([12, 60])
      const shut = ways(
        await hosted.python(all, { name: 'other.example', v4: other4, v6: other6, port: other.port, port6: other6Server.port }),
      )
      expect(shut).toHaveLength(14)
      for (const { said, denied } of shut) expect(said).toMatch(denied)
      expect([other.connections, other.bytes, other6Server.connections, other6Server.bytes]).toEqual([0, 0, 0, 0])
      expect(hosted.lookedUp).not.toContain('other.example')
    })

    test('of a proxy that a variable names is no other', async () => {
      const [v4 = '', other4 = ''] = own.v4
      using server = await Canary.open(echo, v4)
      using other = await Canary.open(echo, other4)
      await using hosted = await Hosted.open(rules([`${v4}:${server.port}`], [...own.v4]), null, { wall })
      const curl = (address: string, port: number) =>
        hosted.sh(`https_proxy=http://127.0.0.1:3128 curl -sS -k --max-time 20 https://${address}:${port}/; echo "exit $?"`)
      // It is no server of TLS: that the client finds out means that it was reached.
      expect(await curl(v4, server.port)).toMatch(/exit (35|56)\n$/)
      expect(server.bytes).toBeGreaterThan(0)
      expect(await curl(other4, other.port)).toMatch(/403[\s\S]*exit (7|56)\n$/)
      expect([other.connections, other.bytes]).toEqual([0, 0])
    })
  })
})
