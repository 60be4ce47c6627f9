import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { SpecDaemon } from './daemon.ts'
import { addressed, enveloped, WireClient, type WireSandbox } from './wire-client.ts'

/** Well-formed requests whose values mean harm. */
describe('hostile values', () => {
  let daemon: SpecDaemon
  let sandbox: WireSandbox
  let client: WireClient

  beforeAll(async () => {
    daemon = await SpecDaemon.open()
    client = new WireClient(daemon.url, daemon.key)
    sandbox = await client.create()
  })

  afterAll(async () => {
    client?.[Symbol.dispose]()
    await daemon?.[Symbol.asyncDispose]()
  })

  afterEach(async () => {
    expect(daemon.process.exitCode, daemon.log.slice(-2000)).toBeNull()
    expect((await client.run(sandbox, 'echo lives')).stdout).toBe('lives\n')
  })

  const inside = (port = 49983) => addressed(sandbox, port)
  const send = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(daemon.url + path, {
      method: 'POST',
      headers: { 'x-api-key': daemon.key, 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  const call = (method: string, body: unknown) => send(`/${method}`, body, inside())

  /** Every error is of the same shape, and has the same number twice. */
  async function refusal(answer: Response): Promise<{ code: number; message: string }> {
    const body = (await answer.json()) as { code: number; message: string }
    expect(body.code).toBe(answer.status)
    expect(body.message.length).toBeGreaterThan(0)
    expect(body.message).not.toMatch(/\bat .*\.(ts|mjs):\d+/)
    return body
  }

  it('envelopes that are none', async () => {
    const headers = { ...inside(), 'content-type': 'application/connect+json', 'connect-protocol-version': '1' }
    const good = Buffer.from(JSON.stringify({ process: { cmd: '/bin/true' } }))
    const framed = (flag: number, length: number, body: Buffer) => enveloped(body, flag, length)
    for (const body of [
      Buffer.alloc(0),
      Buffer.from([0, 0, 0]),
      framed(0, good.length + 10, good),
      framed(1, good.length, good),
      framed(2, good.length, good),
      framed(255, good.length, good),
      framed(0, 4, Buffer.from('nope')),
      framed(0, 0, Buffer.alloc(0)),
      Buffer.concat([framed(0, good.length, good), framed(0, good.length, good)]),
      Buffer.alloc(100_000, 0xff),
    ]) {
      const answer = await fetch(`${daemon.url}/process.Process/Start`, { method: 'POST', headers, body })
      const text = await answer.text()
      expect(answer.status >= 400 || text.includes('"error"'), `${body.subarray(0, 20).toString('hex')}: ${answer.status} ${text}`).toBe(
        true,
      )
      expect(text).not.toContain('"start"')
    }
    for (const type of ['text/plain', 'application/grpc', 'application/connect+xml', 'application/json; charset=latin1']) {
      const answer = await fetch(`${daemon.url}/process.Process/Start`, {
        method: 'POST',
        headers: { ...headers, 'content-type': type },
        body: 'x',
      })
      expect([400, 415]).toContain(answer.status)
    }
    expect((await call('process.Process/NoSuchMethod', {})).status).toBe(404)
    expect((await call('no.such.Service/List', {})).status).toBe(404)
  })

  it('JSON that is deep, wide, large, or none', async () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`
    const wide = `{${Array.from({ length: 50_000 }, (_, index) => `"k${index}":1`).join(',')}}`
    for (const body of [
      deep,
      `{"metadata":${deep}}`,
      wide,
      '{"templateID":"base"',
      'null',
      '[]',
      '"x"',
      '12',
      'NaN',
      '{"templateID":"base","templateID":5}',
      '\ufeff{}',
    ]) {
      const answer = await send('/v2/sandboxes', body)
      expect(answer.status, body.slice(0, 40)).toBe(400)
      await refusal(answer)
    }
    const large = await send('/v2/sandboxes', { templateID: 'base', metadata: { big: 'x'.repeat(5_000_000) } })
    expect([400, 413]).toContain(large.status)
    for (const body of [
      deep,
      '{',
      'null',
      '[]',
      '{"code":5}',
      '{"code":null}',
      '{}',
      '{"code":"1","context_id":5}',
      '{"code":"1","context_id":"x","language":"python"}',
    ]) {
      const answer = await send('/execute', body, inside(49999))
      expect([400, 404, 422], body.slice(0, 40)).toContain(answer.status)
    }
    const proto = await send('/__proto__', {})
    expect(proto.status).toBe(404)
    const polluted = await send('/v2/sandboxes', '{"templateID":"base","metadata":{"__proto__":"x","constructor":"y"}}')
    expect([201, 400]).toContain(polluted.status)
    if (polluted.status === 201)
      await daemon.fetch(`/sandboxes/${((await polluted.json()) as { sandboxID: string }).sandboxID}`, { method: 'DELETE' })
  })

  it('every field of create with a value of another kind, and a field that is none', async () => {
    const wrong: Record<string, unknown[]> = {
      templateID: [5, null, '', {}, 'x'.repeat(10_000), '../base', 'base\0'],
      timeout: ['60', -1, 0, 1.5, 1e12, null, 'NaN'],
      metadata: ['x', [], { a: 1 }, { a: null }, { a: { b: 'c' } }],
      envVars: ['x', { A: 1 }, { 'A=B': 'x' }, { 'A\0': 'x' }, { A: '\0' }],
      secure: ['yes', 1],
      allow_internet_access: ['yes', 1],
      autoPause: ['yes'],
      autoResume: [true, { enabled: 'yes' }, { other: true }],
      network: [
        'x',
        { allowOut: 'x' },
        { allowOut: ['not an address!'] },
        { denyOut: ['example.com'] },
        { unknown: true },
        { httpsPorts: ['x'] },
        { httpsPorts: [49983] },
      ],
      volumeMounts: ['x', [{ name: 'x' }], [{ name: 'a', path: '/b' }]],
      unknown_field: [1],
    }
    for (const [field, values] of Object.entries(wrong)) {
      for (const value of values) {
        const answer = await send('/v2/sandboxes', { templateID: 'base', [field]: value })
        expect([400, 404, 501], `${field}: ${JSON.stringify(value)?.slice(0, 60)}`).toContain(answer.status)
        const { message } = await refusal(answer)
        if (field !== 'templateID') expect(message).toContain(field)
      }
    }
    for (const [path, body] of [
      ['timeout', { timeout: '5' }],
      ['timeout', {}],
      ['timeout', { timeout: 5, other: 1 }],
      ['pause', { memory: 'no' }],
      ['pause', { other: 1 }],
      ['fork', { count: 0 }],
      ['fork', { count: 101 }],
      ['snapshots', { name: 5 }],
      ['connect', { timeout: 'x' }],
    ] as const) {
      const answer = await send(`/sandboxes/${sandbox.sandboxID}/${path}`, body)
      expect(answer.status, `${path} ${JSON.stringify(body)}`).toBe(400)
      await refusal(answer)
    }
  })

  it('queries that are none', async () => {
    for (const query of [
      'limit=0',
      'limit=101',
      'limit=x',
      'state=dead',
      'order=sideways',
      'startedAfter=yesterday',
      'nextToken=%00',
      'metadata=%25',
      'unknown=1',
    ]) {
      const answer = await daemon.fetch(`/v2/sandboxes?${query}`)
      expect(answer.status, query).toBe(400)
      await refusal(answer)
    }
    for (const query of [
      '',
      'path=',
      'path=a&path=b',
      'path=a.txt&username=%00',
      'path=a.txt&username=nobody-here',
      'path=a.txt&signature=x',
    ]) {
      const answer = await fetch(`${daemon.url}/files?${query}`, { headers: { ...inside(), 'x-access-token': '' } })
      expect([400, 401, 404], query).toContain(answer.status)
    }
    for (const range of ['bytes=-0', 'bytes=9999999999999999999-', 'bytes=5-2', 'bytes=0-0,1-1,2-2', 'x'.repeat(5000)]) {
      await client.upload(sandbox, 'range.txt', 'content')
      const answer = await fetch(`${daemon.url}/files?path=range.txt`, { headers: { ...inside(), range } })
      await answer.text()
      expect([200, 206, 400, 416], range.slice(0, 20)).toContain(answer.status)
    }
  })
})
