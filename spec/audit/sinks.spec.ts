import { createHmac } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { AuditLog } from '../../host/audit/log.ts'
import { segments } from '../../host/audit/segments.ts'
import { Sinks } from '../../host/audit/sinks/sinks.ts'
import { refuseBehind, sinkStatuses } from '../../host/audit/sinks/status.ts'
import { freshDeadline } from '../../host/lifetimes.ts'
import { command, RECORDER, SpecLog } from './logs.ts'
import { datagramReceiver, Received, StreamReceiver, udpReceiver, WebReceiver } from './receivers.ts'

let log: SpecLog
let writer: AuditLog
beforeEach(() => {
  log = new SpecLog()
  writer = log.open()
})
afterEach(() => {
  writer[Symbol.dispose]()
  log[Symbol.dispose]()
})

const KEY = 'a-key-to-sign-with'
const house = { recorder: RECORDER, secret: async (name: string) => (name === 'HOOK' ? KEY : undefined) }

function setUp(...sinks: unknown[]): void {
  writeFileSync(join(log.folder, 'sinks.json'), JSON.stringify({ sinks }))
}
function open(): Promise<Sinks> {
  return Sinks.open({ home: log.folder, folder: log.folder, house }, freshDeadline(60_000))
}
/** The number of the last of so many. */
function write(count: number): number {
  for (let number = 0; number < count; number += 1) writer.append(command(`c${number}`))
  return log.records.length - 1
}
const upTo = (last: number) => Array.from({ length: last + 1 }, (_, index) => index)

describe('every place gets every record, in order, as it was written', () => {
  test('a file, also when it is put aside', async () => {
    const path = join(log.folder, 'copy.jsonl')
    setUp({ name: 'copy', kind: 'file', path })
    write(3)
    {
      await using _ = await open()
      write(1200)
    }
    expect(readFileSync(path, 'utf8')).toBe(readFileSync(log.path, 'utf8'))
    expect(sinkStatuses(log.folder, log.folder)).toMatchObject([{ name: 'copy', lag: 0, failing: null }])
  })

  test('after the log could not be read for a while', async () => {
    const path = join(log.folder, 'copy.jsonl')
    const whole = log.path
    setUp({ name: 'copy', kind: 'file', path })
    write(3)
    renameSync(whole, `${whole}.away`)
    mkdirSync(whole)
    {
      await using _ = await open()
      const failing = { reason: expect.stringContaining('the log cannot be read') }
      await vi.waitFor(() => expect(sinkStatuses(log.folder, log.folder)).toMatchObject([{ failing }]), { timeout: 20_000 })
      rmdirSync(whole)
      renameSync(`${whole}.away`, whole)
      await vi.waitFor(() => expect(readFileSync(path, 'utf8')).toBe(readFileSync(whole, 'utf8')), { timeout: 20_000 })
    }
    expect(sinkStatuses(log.folder, log.folder)).toMatchObject([{ lag: 0, failing: null }])
  })

  test('standard output, a line for each; what could not be written comes again, and nothing is lost', async () => {
    setUp({ name: 'out', kind: 'stdout' })
    const received = new Received()
    let failures = 1
    const output = vi.spyOn(process.stdout, 'write').mockImplementation((text, coding, done) => {
      const answer = typeof coding === 'function' ? coding : done
      failures -= 1
      if (failures < 0) received.add(...String(text).split('\n').slice(0, -1))
      answer?.(failures < 0 ? undefined : new Error('nobody reads'))
      return true
    })
    try {
      write(3)
      await using _ = await open()
      await received.until(write(1200))
    } finally {
      output.mockRestore()
    }
    expect(`${received.lines.join('\n')}\n`).toBe(readFileSync(log.path, 'utf8'))
    expect(sinkStatuses(log.folder, log.folder)).toMatchObject([{ name: 'out', lag: 0, failing: null }])
  })

  test('syslog over TCP, a unix stream, unix datagrams and UDP, as RFC 5424 has it', async () => {
    await using tcp = await StreamReceiver.open({ port: 0, host: '127.0.0.1' })
    await using local = await StreamReceiver.open({ path: join(log.folder, 'stream.sock') })
    await using datagrams = await datagramReceiver(join(log.folder, 'log.sock'))
    await using udp = await udpReceiver()
    setUp(
      { name: 'tcp', kind: 'syslog', to: `tcp://127.0.0.1:${tcp.port}` },
      { name: 'local', kind: 'syslog', to: `unix:${join(log.folder, 'stream.sock')}` },
      { name: 'datagrams', kind: 'syslog', to: `unix:${join(log.folder, 'log.sock')}` },
      { name: 'udp', kind: 'syslog', to: `udp://127.0.0.1:${udp.port}` },
    )
    await using _ = await open()
    const first = write(3)
    for (const { received } of [tcp, local, datagrams, udp]) await received.until(first)
    // A server that starts anew.
    await tcp.hangUp()
    const last = write(3)
    for (const { received } of [tcp, local, datagrams, udp]) await received.until(last)
    for (const { received } of [local, datagrams, udp]) expect(received.lines).toEqual(log.lines)
    expect([...new Set(tcp.received.numbers)]).toEqual(upTo(last))
    const [message = ''] = udp.messages
    expect(message).toMatch(/^<109>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ caisson \d+ begin \[caisson@32473 seq="0"\] \{"seq":0,/)
    // What no datagram carries is cut, and says so.
    writer.append(command('ä'.repeat(4000)))
    for (let number = 0; number < 30; number += 1) writer.append({ ...command('x'), args: Array(30).fill('ä'.repeat(3000)) } as never)
    const longest = log.records.length - 1
    await local.received.until(longest)
    await expect.poll(() => udp.messages.at(-1), { timeout: 30_000 }).toMatch(new RegExp(`seq="${longest}" cutFrom="\\d{6}"\\] `))
    expect(Buffer.byteLength(udp.messages.at(-1) ?? '')).toBeLessThanOrEqual(60_000)
  })

  test('a collector of OpenTelemetry’s', async () => {
    await using web = await WebReceiver.open()
    web.linesOf = (body) =>
      JSON.parse(body).resourceLogs[0].scopeLogs[0].logRecords.map((one: { body: { stringValue: string } }) => one.body.stringValue)
    setUp({ name: 'otel', kind: 'otlp', url: web.url })
    await using _ = await open()
    const last = write(3)
    await web.received.until(last)
    expect(web.received.lines).toEqual(log.lines)
    expect(web.posts[0]?.path).toBe('/v1/logs')
    const [{ attributes, timeUnixNano }] = JSON.parse(web.posts.at(-1)?.body ?? '').resourceLogs[0].scopeLogs[0].logRecords
    expect(attributes).toContainEqual({ key: 'caisson.kind', value: { stringValue: expect.stringMatching(/begin|command/) } })
    expect(timeUnixNano).toMatch(/^\d{19}$/)
  })

  test('a webhook, signed; what is not taken comes again until it is', async () => {
    await using web = await WebReceiver.open()
    const troubles = [500, null, 302, 404]
    web.answer = () => (troubles.length > 0 ? (troubles.shift() as number | null) : 200)
    setUp({ name: 'hook', kind: 'webhook', url: `${web.url}/take`, secret: 'HOOK' })
    const last = write(700)
    await using _ = await open()
    await web.received.until(last)
    expect(web.received.lines).toEqual(log.lines)
    expect(web.posts.slice(0, 5).map(({ status }) => status)).toEqual([500, null, 302, 404, 200])
    for (const { path, headers, body } of web.posts) {
      // A redirection is an answer, not an order.
      expect(path).toBe('/take')
      const [, seconds, hex] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['x-caisson-signature'])) ?? []
      expect(createHmac('sha256', KEY).update(`${seconds}.${body}`).digest('hex')).toBe(hex)
    }
    expect(web.posts.at(-1)?.headers['x-caisson-records']).toMatch(new RegExp(`^\\d+-${last}$`))
  })
})

describe('the log is the queue', () => {
  test('who goes on after an end goes on where it was, and nothing that is lacking is removed', async () => {
    await using web = await WebReceiver.open()
    setUp({ name: 'hook', kind: 'webhook', url: web.url, secret: 'HOOK' })
    const first = write(5)
    {
      await using _ = await open()
      await web.received.until(first)
    }
    writer[Symbol.dispose]()
    // Nobody delivers, and what is recorded is more than is to be kept.
    writer = log.open({ segmentBytes: 20_000, keep: { bytes: 20_000, ms: 0 } })
    for (let number = 0; number < 3000; number += 1) writer.append(command(`d${number}`))
    const oldest = segments(log.folder)[0]?.lastSeq
    expect(oldest).toBeLessThan(600)
    {
      await using _ = await open()
      const end = JSON.parse(readFileSync(log.path, 'utf8').trimEnd().split('\n').at(-1) ?? '').seq
      await web.received.until(end)
      expect([...new Set(web.received.numbers)]).toEqual(upTo(end))
      expect(web.received.numbers.filter((seq) => seq <= first)).toHaveLength(first + 1)
    }
    for (let number = 0; number < 1100; number += 1) writer.append(command(`e${number}`))
    expect(segments(log.folder)[0]?.lastSeq).toBeGreaterThan(oldest ?? 0)
    expect((await log.verify()).bad).toBeNull()
  })

  test('while one that is required is too far behind, no sandbox is made; others hold up nobody', async () => {
    await using web = await WebReceiver.open()
    await using slow = await WebReceiver.open()
    web.answer = () => 503
    slow.answer = () => 503
    setUp(
      { name: 'must', kind: 'webhook', url: web.url, secret: 'HOOK', required: true, lag: { records: 20 } },
      { name: 'may', kind: 'webhook', url: slow.url, secret: 'HOOK' },
    )
    await using sinks = await open()
    const behind = () => {
      try {
        sinks.refuseBehind()
        refuseBehind(log.folder, log.folder)
        return 'no'
      } catch (failure) {
        return `${(failure as { code: string }).code} ${(failure as Error).message}`
      }
    }
    write(5)
    expect(behind()).toBe('no')
    const last = write(40)
    expect(behind()).toMatch(/^AUDIT_BEHIND the sink must \(webhook\) lacks \d\d records \(it may lack 20\)/)
    await expect.poll(behind, { timeout: 30_000 }).toMatch(/the last try: it was answered with 503$/)
    web.answer = () => 200
    await web.received.until(last)
    await expect.poll(behind, { timeout: 30_000 }).toBe('no')
    expect(sinks.lags()).toMatchObject({ must: expect.any(Number), may: last + 1 })
    expect(sinkStatuses(log.folder, log.folder)).toMatchObject([
      { name: 'must', required: true, failing: null },
      { name: 'may', failing: { reason: 'it was answered with 503' } },
    ])
  })
})

test('of a URL that may hold a secret, what is told and recorded is where it leads', async () => {
  const web = await WebReceiver.open()
  const { url } = web
  const [hook, collector] = [
    { name: 'hook', kind: 'webhook', url: `${url}/services/T0KEN?key=s3cret`, secret: 'HOOK' },
    { name: 'otel', kind: 'otlp', url: `${url}/t/T0KEN` },
  ]
  setUp(hook, collector)
  {
    await using sinks = await open()
    expect(sinks.places).toEqual({ hook: `webhook ${url}`, otel: `otlp ${url}` })
  }
  await web[Symbol.asyncDispose]()
  for (const one of [hook, collector]) {
    setUp(one)
    const failure = await open().catch((cause: unknown) => cause)
    expect(failure).toMatchObject({ code: 'SINK_UNREACHABLE', message: expect.stringContaining(`${one.kind}, ${url}): `) })
    expect((failure as Error).message).not.toMatch(/T0KEN|s3cret/)
  }
})

test('what is no sink is refused with its place, and one that is not there by name', async () => {
  const web = await WebReceiver.open()
  const { url, port } = web
  await web[Symbol.asyncDispose]()
  const hook = { name: 'hook', kind: 'webhook', url, secret: 'HOOK' }
  for (const [sinks, said] of [
    [
      [{ ...hook, kind: 'pigeon' }],
      /sinks\.json: sinks\.0\.kind: "pigeon" is no kind of sink; there are: file, otlp, stdout, syslog, webhook$/,
    ],
    [[{ ...hook, colour: 'red' }], /sinks\.0: .*colour/],
    [[{ ...hook, url: 'https://me:word@example.com' }], /sinks\.0\.url: .*without a name and a password/],
    [[{ name: 's', kind: 'syslog', to: 'tcp://here' }], /sinks\.0\.to: is to be unix:/],
    [[{ name: 'f', kind: 'file', path: 'here' }], /sinks\.0\.path: is to be an absolute path/],
    [
      [
        { name: 'a', kind: 'stdout' },
        { name: 'a', kind: 'stdout' },
      ],
      /sinks\.1\.name: there are two/,
    ],
    [[{ name: 'a', kind: 'stdout', lag: { hours: 1 } }], /sinks\.0\.lag: .*hours/],
  ] as const) {
    setUp(...sinks)
    await expect(open()).rejects.toMatchObject({ code: 'SINK_INVALID', message: expect.stringMatching(said) })
  }
  writeFileSync(join(log.folder, 'sinks.json'), '{')
  await expect(open()).rejects.toMatchObject({ code: 'SINK_INVALID', message: expect.stringContaining('it is no JSON') })
  for (const [sink, said] of [
    [hook, `sink unreachable: hook (webhook, ${url}): connect ECONNREFUSED 127.0.0.1:${port}`],
    [{ ...hook, secret: 'NONE' }, 'there is no secret NONE to sign with'],
    [{ name: 'o', kind: 'otlp', url }, 'sink unreachable: o (otlp'],
    [{ name: 's', kind: 'syslog', to: `unix:${log.folder}/none` }, 'sink unreachable: s (syslog, unix:'],
    [{ name: 't', kind: 'syslog', to: `tcp://127.0.0.1:${port}` }, 'ECONNREFUSED'],
    [{ name: 'f', kind: 'file', path: '/proc/nowhere/log' }, 'ENOENT'],
  ] as const) {
    setUp(sink)
    await expect(open()).rejects.toMatchObject({ code: 'SINK_UNREACHABLE', message: expect.stringContaining(said) })
  }
})
