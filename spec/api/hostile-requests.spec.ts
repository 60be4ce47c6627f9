import { readdir } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { residentBytes, SpecDaemon } from './daemon.ts'
import { dial, endless, exchange, head } from './raw-client.ts'
import { addressed, enveloped, WireClient, type WireSandbox } from './wire-client.ts'

const MIB = 1 << 20
/** What one attack may make the daemon hold on to. Node gives memory back late: this is a bound, not an estimate. */
const MAX_GROWTH_BYTES = 192 * MIB

/** Connections that the clients of this process keep, where each attack takes a hundred or more. */
const KEPT = 16

/** A client that sends what no SDK sends. Whatever it tries: a clear error for it, bounded memory, and nobody else notices. */
describe('a hostile client', () => {
  let daemon: SpecDaemon
  /** Somebody else's, which must not notice. */
  let other: WireSandbox
  let mine: WireSandbox
  let client: WireClient
  let counted: NodeJS.Timeout
  let residentBefore: number

  beforeAll(async () => {
    daemon = await SpecDaemon.open()
    client = new WireClient(daemon.url, daemon.key)
    other = await client.create()
    mine = await client.create()
    await client.upload(other, 'theirs.txt', 'untouched')
  })

  afterAll(async () => {
    client?.[Symbol.dispose]()
    await daemon?.[Symbol.asyncDispose]()
  })

  let worst = 0
  beforeEach(async () => {
    const pid = daemon.process.pid as number
    residentBefore = await residentBytes(pid)
    worst = residentBefore
    counted = setInterval(async () => {
      worst = Math.max(worst, await residentBytes(pid).catch(() => 0))
    }, 20)
  })

  afterEach(async () => {
    clearInterval(counted)
    expect(daemon.process.exitCode, daemon.log.slice(-2000)).toBeNull()
    expect(worst - residentBefore, 'memory taken').toBeLessThan(MAX_GROWTH_BYTES)
    expect((await client.run(other, 'cat theirs.txt')).stdout).toBe('untouched')
    expect((await fetch(`${daemon.url}/health`)).ok).toBe(true)
  })

  const key = () => ({ 'x-api-key': daemon.key })
  const inside = addressed
  /** Everything that takes a body. */
  const bodies = (): [string, Record<string, string>][] => [
    ['POST /v2/sandboxes', { ...key(), 'content-type': 'application/json' }],
    [`POST /sandboxes/${mine.sandboxID}/timeout`, { ...key(), 'content-type': 'application/json' }],
    ['POST /process.Process/List', { ...inside(mine), 'content-type': 'application/json', 'connect-protocol-version': '1' }],
    ['POST /process.Process/Start', { ...inside(mine), 'content-type': 'application/connect+json', 'connect-protocol-version': '1' }],
    ['POST /filesystem.Filesystem/Stat', { ...inside(mine), 'content-type': 'application/proto', 'connect-protocol-version': '1' }],
    ['POST /execute', { ...inside(mine, 49999), 'content-type': 'application/json' }],
    ['POST /contexts', { ...inside(mine, 49999), 'content-type': 'application/json' }],
    ['POST /files?path=cut.bin', { ...inside(mine), 'content-type': 'application/octet-stream' }],
    ['POST /files?path=cut.txt', { ...inside(mine), 'content-type': 'multipart/form-data; boundary=b' }],
  ]

  /** Read until the client goes. */
  async function start(command: string, signal: AbortSignal): Promise<void> {
    const message = enveloped(Buffer.from(JSON.stringify({ process: { cmd: '/bin/bash', args: ['-c', command] } })))
    const headers = { ...inside(mine), 'content-type': 'application/connect+json', 'connect-protocol-version': '1' }
    const answer = await fetch(`${daemon.url}/process.Process/Start`, { method: 'POST', headers, body: message, signal })
    await answer.body?.pipeTo(new WritableStream(), { signal })
  }

  async function descriptors(): Promise<number> {
    return (await readdir(`/proc/${daemon.process.pid}/fd`)).length
  }

  /** Sooner or later: sockets are closed when the kernel has told. */
  async function settle(before: number): Promise<void> {
    for (let round = 0; round < 200 && (await descriptors()) > before + KEPT; round += 1)
      await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await descriptors()).toBeLessThanOrEqual(before + KEPT)
  }

  it('cuts its bodies short, in every place that takes one', async () => {
    const before = await descriptors()
    for (const [line, headers] of bodies()) {
      for (const framing of [{ 'content-length': '1000' }, { 'transfer-encoding': 'chunked' }]) {
        const piece = 'content-length' in framing ? '{"a' : '3\r\n{"a\r\n'
        const socket = await dial(daemon.url)
        socket.on('error', () => undefined)
        socket.write(head(line, { ...headers, ...framing }) + piece)
        await new Promise((resolve) => setTimeout(resolve, 30))
        socket.destroy()
      }
    }
    await settle(before)
  })

  it('never stops sending what must be small', async () => {
    const block = Buffer.alloc(64 * 1024, 0x20)
    const chunk = Buffer.concat([Buffer.from(`${block.length.toString(16)}\r\n`), block, Buffer.from('\r\n')])
    for (const [line, headers] of bodies().filter(([name]) => !name.includes('/files'))) {
      function* pieces() {
        yield head(line, { ...headers, 'transfer-encoding': 'chunked' })
        yield* endless(chunk)
      }
      const answer = await exchange(daemon.url, pieces(), { maxBytes: 512 * MIB })
      expect(answer.sentBytes, line).toBeLessThan(128 * MIB)
      if (answer.status !== null) expect([400, 413, 415, 429, 499, 200], line).toContain(answer.status)
      else expect(answer.closed, line).toBe(true)
    }
  })

  it('announces a message of four gigabytes', async () => {
    const start = Buffer.from([0, 0xff, 0xff, 0xff, 0xff])
    const [line, headers] = bodies()[3] as [string, Record<string, string>]
    function* pieces() {
      yield head(line, { ...headers, 'content-length': String(2 ** 32 + 4) })
      yield start
      yield* endless(Buffer.alloc(64 * 1024, 0x61))
    }
    const answer = await exchange(daemon.url, pieces(), { maxBytes: 512 * MIB })
    expect(answer.sentBytes).toBeLessThan(128 * MIB)
    expect(answer.text).not.toContain('"start"')
  })

  it('uploads without end, until the disk of its own sandbox is full', { timeout: 240_000 }, async () => {
    const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(MIB, 0x78), Buffer.from('\r\n')])
    function* pieces() {
      yield head('POST /files?path=flood.bin', {
        ...inside(mine),
        'content-type': 'application/octet-stream',
        'transfer-encoding': 'chunked',
      })
      yield* endless(chunk)
    }
    const answer = await exchange(daemon.url, pieces(), { maxBytes: 8192 * MIB, quietMs: 30_000 })
    expect(answer.sentBytes).toBeLessThan(8000 * MIB)
    if (answer.status !== null) expect(answer.status).toBe(507)
    await client.run(mine, 'rm -f flood.bin')
    expect((await client.run(mine, 'echo lives')).stdout).toBe('lives\n')
  })

  it('sends its requests a byte at a time, on many connections', async () => {
    const before = await descriptors()
    const sockets = await Promise.all(Array.from({ length: 200 }, () => dial(daemon.url)))
    const bytes = [...head('POST /v2/sandboxes', { ...key(), 'content-length': '100000' })]
    for (const socket of sockets) socket.on('error', () => undefined)
    for (const byte of bytes.slice(0, 60)) {
      for (const socket of sockets) socket.write(byte)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect((await client.run(other, 'echo served')).stdout).toBe('served\n')
    for (const socket of sockets) socket.destroy()
    await settle(before)
  })

  it('sends a hundred thousand headers, one that is a megabyte, and none', async () => {
    const many = Array.from({ length: 100_000 }, (_, index) => `h${index}: v\r\n`).join('')
    const flood = await exchange(daemon.url, [`GET /v2/sandboxes HTTP/1.1\r\nhost: x\r\n${many}\r\n`])
    expect([400, 431, null]).toContain(flood.status)
    const long = await exchange(daemon.url, [head('GET /v2/sandboxes', { 'x-long': 'x'.repeat(MIB) })])
    expect([400, 431, null]).toContain(long.status)
    expect((await exchange(daemon.url, ['GET /v2/sandboxes HTTP/1.1\r\n\r\n'])).status).toBe(400)
    const path = await exchange(daemon.url, [head(`GET /${'a'.repeat(MIB)}`)])
    expect([400, 404, 414, 431, null]).toContain(path.status)
  })

  it('speaks something that is not HTTP, and smuggles', async () => {
    for (const bytes of [
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      '\0'.repeat(4096),
      'GET / HTTP/9.9\r\n\r\n',
    ]) {
      const answer = await exchange(daemon.url, [Buffer.from(bytes, 'latin1')])
      expect([400, 505, null]).toContain(answer.status)
    }
    const both = head('POST /v2/sandboxes', { ...key(), 'content-length': '4', 'transfer-encoding': 'chunked' })
    const hidden = `0\r\n\r\n${head(`DELETE /sandboxes/${other.sandboxID}`, key())}`
    expect((await exchange(daemon.url, [both + hidden])).status).toBe(400)
    const twice = 'POST /v2/sandboxes HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 40\r\n\r\n{}'
    expect((await exchange(daemon.url, [twice])).status).toBe(400)
    const bare = head('POST /v2/sandboxes', { ...key(), 'transfer-encoding': 'chunked' })
    expect([400, 413]).toContain((await exchange(daemon.url, [`${bare}zz\r\n{}\r\n0\r\n\r\n`])).status ?? 400)
    expect((await client.inside(other, 'GET', '/health')).status).toBe(204)
  })

  it('asks for upgrades where there are none', async () => {
    for (const path of ['/v2/sandboxes', '/', '/process.Process/Start', '/files']) {
      const upgrade = {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      }
      const answer = await exchange(daemon.url, [head(`GET ${path}`, { ...upgrade, ...key() })])
      expect(answer.status ?? 400).toBeGreaterThanOrEqual(200)
      expect(answer.status).not.toBe(101)
    }
  })

  it('leaves in the middle of everything, again and again', async () => {
    const before = await descriptors()
    for (let round = 0; round < 40; round += 1) {
      const controller = new AbortController()
      const { signal } = controller
      const calls = [
        start('sleep 30; yes', signal),
        start('yes', signal),
        fetch(`${daemon.url}/execute`, {
          method: 'POST',
          headers: { ...inside(mine, 49999), 'content-type': 'application/json' },
          body: JSON.stringify({ code: 'while True: print(1)' }),
          signal,
        }),
        fetch(`${daemon.url}/files?path=/dev/zero`, { headers: inside(mine), signal }),
      ]
      setTimeout(() => controller.abort(), 10 + round * 3)
      await Promise.allSettled(calls)
    }
    await client.run(mine, 'pkill -9 yes; pkill -9 sleep')
    expect((await client.run(mine, 'echo lives')).stdout).toBe('lives\n')
    await settle(before)
  })
})
