import type { Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { withoutSeal } from '../../host/airlock/egress-proxy.ts'
import { Seal } from '../../host/airlock/seal.ts'
import type { NetworkFile } from '../../wire/index.ts'
import { python } from './gated.ts'
import { Hosted, inspecting, rules } from './hosted.ts'
import { Canary, echo } from './servers.ts'
import { SocksServer } from './socks-server.ts'
import { WAYS } from './ways.ts'
import { Authority, Web } from './web.ts'

const PASSWORD = 'tr4velling-light'
const OPEN_MS = 600_000

let authority: Authority
let hosted: Hosted
beforeAll(async () => {
  authority = await Authority.open()
  hosted = await Hosted.open(rules([]), authority.path)
  Object.assign(hosted.sealed, { right: PASSWORD, wrong: `not ${PASSWORD}` })
}, OPEN_MS)
afterAll(async () => {
  await hosted?.[Symbol.asyncDispose]()
  await authority?.[Symbol.asyncDispose]()
})
beforeEach(() => {
  hosted.records.splice(0)
  hosted.names = { 'good.example': ['127.0.0.1'], 'other.example': ['127.0.0.1'], 'proxy.example': ['127.0.0.1'] }
})

interface Proxied {
  proxy: Extract<NetworkFile, { mode: 'open' | 'allow' }>['proxy'] & object
  allow: string[]
  named?: string[]
  inspect?: boolean
}

/** All that is allowed goes out by that proxy. */
function use({ proxy, allow, named = ['127.0.0.1'], inspect = false }: Proxied): void {
  hosted.airlock.replace(hosted.id, inspecting({ allow, inspect, proxy }, named))
}

const talk = python`attempt('talk', lambda: exchange(opened(facts['host'], facts['port'])))`
const say = (host: string, port: number) => hosted.python(talk, { host, port })
const curl = (url: string) => hosted.sh(`curl -sS --max-time 30 ${url}`)

test('whatever way it leaves, it goes through the proxy, which is asked for the address that was checked and for no name', async () => {
  using server = await Canary.open(echo)
  using socks = await SocksServer.open({ credentials: `me:${PASSWORD}` })
  use({ proxy: { address: `proxy.example:${socks.port}`, username: 'me', sealed: 'right' }, allow: ['good.example', '127.0.0.1'] })
  const code = `${WAYS}${python`
name, port = facts['name'], facts['port']
attempt('direct', lambda: exchange(opened(name, port)))
attempt('connect', lambda: connect(name, port))
attempt('connect v4', lambda: connect('127.0.0.1', port))
attempt('socks', lambda: socks(b'\x03', bytes([len(name)]) + name.encode(), port))
attempt('socks v4', lambda: socks(b'\x01', bytes([127, 0, 0, 1]), port))
`}`
  const told = await hosted.python(code, { name: 'good.example', port: server.port })
  const ways = ['direct', 'connect', 'connect v4', 'socks', 'socks v4']
  expect(told.trim().split('\n')).toEqual(ways.map((way) => `${way} b'hello'`))
  expect(socks.asked).toEqual(ways.map(() => `1 127.0.0.1:${server.port}`))
  expect([server.connections, server.bytes]).toEqual([5, 25])
  // By its rules, not by the proxy's: what it is asked for has been allowed.
  expect(hosted.of('network').filter(({ verdict }) => verdict === 'tunnel')).toHaveLength(5)
  expect(JSON.stringify(hosted.records)).not.toContain(PASSWORD)
})

test('what the rules deny does not get to the proxy', async () => {
  using server = await Canary.open(echo)
  using socks = await SocksServer.open()
  use({ proxy: { address: `127.0.0.1:${socks.port}` }, allow: ['good.example', '10.0.0.1'] })
  expect(await say('other.example', server.port)).toMatch(/not known/)
  expect(await say('93.184.216.34', server.port)).toBe('talk ECONNRESET\n')
  // Private, and not named by the operator: a proxy would reach it in its own network.
  expect(await say('10.0.0.1', server.port)).toBe('talk ECONNRESET\n')
  hosted.names['good.example'] = ['169.254.169.254']
  expect(await say('good.example', 80)).toBe('talk ECONNRESET\n')
  expect([socks.connections, server.connections]).toEqual([0, 0])
})

test('a server that speaks first is heard from its first byte', async () => {
  using server = await Canary.open((peer) => void peer.end('220 welcome\n'))
  using socks = await SocksServer.open()
  use({ proxy: { address: `127.0.0.1:${socks.port}` }, allow: ['good.example'] })
  expect(await say('good.example', server.port)).toBe("talk b'220 welcome\\n'\n")
})

describe('a proxy that does not let it out: nothing gets out another way', () => {
  const answers = (bytes: string) => (peer: Socket) => void peer.end(Buffer.from(bytes, 'latin1'))
  test.each([
    ['wants credentials that are wrong', { credentials: `me:${PASSWORD}` }, 'refused the credentials'],
    ['does not lead there', { reply: 5 }, 'leads nowhere near it'],
    ['speaks HTTP', { serve: answers('HTTP/1.1 400 Bad Request\r\n\r\n') }, 'does not speak SOCKS5'],
    ['wants what nobody has', { serve: answers('\x05\x01') }, 'wants other credentials'],
    ['ends at once', { serve: (peer: Socket) => peer.destroy() }, 'leads nowhere near it'],
    ['cuts its answer short', { serve: answers('\x05\x00\x05\x00\x00\x01') }, 'leads nowhere near it'],
  ])('%s', async (_, options, why) => {
    using server = await Canary.open(echo)
    using socks = await SocksServer.open(options)
    const proxy = { address: `127.0.0.1:${socks.port}`, username: 'me', sealed: 'wrong' }
    use({ proxy, allow: ['good.example'] })
    const told = await curl(`http://good.example:${server.port}/`)
    expect(JSON.parse(told)).toMatchObject({ code: 'NETWORK_UNREACHABLE', message: expect.stringContaining(why) })
    expect(socks.connections).toBeGreaterThan(0)
    // The same where requests are looked into.
    use({ proxy, allow: ['good.example'], inspect: true })
    expect(await curl(`http://good.example:${server.port}/`)).toMatch(/"code":"(UPSTREAM_FAILED|NETWORK_UNREACHABLE)"/)
    expect(server.connections).toBe(0)
    expect(told + JSON.stringify(hosted.records)).not.toContain(PASSWORD)
  })

  test('is not there any more', async () => {
    using server = await Canary.open(echo)
    const gone = await SocksServer.open()
    gone[Symbol.dispose]()
    for (const inspect of [false, true]) {
      use({ proxy: { address: `127.0.0.1:${gone.port}` }, allow: ['good.example'], inspect })
      expect(await curl(`http://good.example:${server.port}/`)).toMatch(/"code":"(UPSTREAM_FAILED|NETWORK_UNREACHABLE)"/)
    }
    expect(server.connections).toBe(0)
  })

  test('is at a reserved address that the operator has not named, by address or by a name that turns', async () => {
    using server = await Canary.open(echo)
    using socks = await SocksServer.open()
    const named = [`127.0.0.1:${server.port}`]
    for (const address of [`127.0.0.1:${socks.port}`, `proxy.example:${socks.port}`]) {
      use({ proxy: { address }, allow: ['good.example'], named })
      expect(JSON.parse(await curl(`http://good.example:${server.port}/`))).toMatchObject({ rule: 'reserved loopback' })
    }
    hosted.names['proxy.example'] = []
    expect(JSON.parse(await curl(`http://good.example:${server.port}/`))).toMatchObject({ rule: 'egress proxy' })
    expect([socks.connections, server.connections]).toEqual([0, 0])
  })

  test('has a password that is not readable', async () => {
    using server = await Canary.open(echo)
    using socks = await SocksServer.open()
    use({ proxy: { address: `127.0.0.1:${socks.port}`, username: 'me', sealed: 'of another installation' }, allow: ['good.example'] })
    expect(JSON.parse(await curl(`http://good.example:${server.port}/`))).toMatchObject({ rule: 'egress proxy' })
    expect([socks.connections, server.connections]).toEqual([0, 0])
  })
})

test('requests that are looked into go through it too, and are judged as ever', async () => {
  using socks = await SocksServer.open({ credentials: `me:${PASSWORD}` })
  using web = await Web.open({
    identity: await authority.identity(['good.example']),
    serve: (request, response) => response.end(`you asked for ${request.url}`),
  })
  const proxy = { address: `127.0.0.1:${socks.port}`, username: 'me', sealed: 'right' }
  use({ proxy, allow: [`GET https://good.example:${web.port}/open/**`] })
  const here = `https://good.example:${web.port}`
  expect(await curl(`${here}/open/a`)).toBe('you asked for /open/a')
  expect(await curl(`--http2 ${here}/open/b`)).toBe('you asked for /open/b')
  expect(await curl(`${here}/shut`)).toContain('NETWORK_DENIED')
  expect(new Set(socks.asked)).toEqual(new Set([`1 127.0.0.1:${web.port}`]))
  expect(web.heard.map(({ path }) => path)).toEqual(['/open/a', '/open/b'])
  expect(JSON.stringify(hosted.records)).not.toContain(PASSWORD)
})

test('another proxy ends what went through the one before; another password does not', async () => {
  using server = await Canary.open(echo)
  using socks = await SocksServer.open()
  using other = await SocksServer.open()
  const proxy = { address: `127.0.0.1:${socks.port}`, username: 'me' }
  use({ proxy, allow: ['good.example'] })
  const told = hosted.python(
    python`
one = opened('good.example', facts['port'])
one.sendall(b'x')
one.recv(1)
attempt('ended', lambda: one.recv(1))
`,
    { port: server.port },
  )
  await expect.poll(() => server.bytes, { timeout: 30_000 }).toBe(1)
  use({ proxy: { ...proxy, sealed: 'right' }, allow: ['good.example'] })
  expect(await say('good.example', server.port)).toBe("talk b'hello'\n")
  // One of the test before may still have been open.
  const ours = new Set(hosted.of('network').map(({ connection }) => connection))
  expect(hosted.of('network-end').filter(({ why, connection }) => why === 'host' && ours.has(connection))).toEqual([])
  expect(socks.connections).toBe(2)
  use({ proxy: { address: `127.0.0.1:${other.port}` }, allow: ['good.example'] })
  expect(await told).toBe('ended ECONNRESET\n')
  expect(await say('good.example', server.port)).toBe("talk b'hello'\n")
  expect(other.connections).toBe(1)
  // And none at all.
  hosted.airlock.replace(hosted.id, rules(['good.example']))
  expect(await say('good.example', server.port)).toBe("talk b'hello'\n")
  expect([socks.connections, other.connections]).toEqual([2, 1])
})

test('a word under a seal is readable to the installation that sealed it, and to no other; and is not told', async () => {
  const seal = new Seal(hosted.home)
  const [one, again] = [await seal.seal(PASSWORD), await seal.seal(PASSWORD)]
  expect(one).not.toBe(again)
  expect((await seal.seal('x')).length).toBe(one.length)
  expect(await new Seal(hosted.home).open(one)).toBe(PASSWORD)
  const turned = `${one.slice(0, 60)}${one[60] === 'A' ? 'B' : 'A'}${one.slice(61)}`
  expect([await seal.open(turned), await seal.open('not one'), await new Seal(authorityFolder()).open(one)]).toEqual([
    undefined,
    undefined,
    undefined,
  ])
  const network = { mode: 'open', proxy: { address: 'proxy.example:1080', username: 'me', sealed: one } } as const
  expect(withoutSeal(network)).toEqual({ mode: 'open', proxy: { address: 'proxy.example:1080', username: 'me' } })
})

function authorityFolder(): string {
  return authority.path.replace(/\/[^/]*$/, '')
}
