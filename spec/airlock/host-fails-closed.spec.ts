import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { command, SpecLog } from '../audit/logs.ts'
import { SmallDisk } from '../walls/small-disk.ts'
import { python } from './gated.ts'
import { everything, Hosted, rules } from './hosted.ts'
import { Canary, echo } from './servers.ts'

const talk = python`attempt('talk', lambda: exchange(opened('good.example', facts['port'])))`
const ip = python`attempt('talk', lambda: exchange(opened('198.18.1.1', facts['port'])))`
const waiting = python`
one = opened('good.example', facts['port'])
one.sendall(b'x')
one.recv(1)
attempt('ended', lambda: one.recv(1))
`

test('what cannot be recorded does not happen', async () => {
  using server = await Canary.open(echo)
  await using hosted = await Hosted.open(rules(['good.example']))
  using log = new SpecLog()
  using disk = new SmallDisk(log.folder, 128)
  using full = log.open()
  disk.fill()
  // What room the last page has.
  expect(() => {
    for (let count = 0; count < 100; count += 1) full.append(command(''))
  }).toThrow(expect.objectContaining({ code: 'AUDIT_UNWRITABLE' }))
  hosted.auditLog = full
  expect(await hosted.python(talk, { port: server.port })).toMatch(/^talk .*not known\n$/)
  expect(await hosted.python(ip, { port: server.port })).toBe('talk ECONNRESET\n')
  expect([server.connections, server.bytes, hosted.records]).toEqual([0, 0, []])
  hosted.auditLog = undefined
  expect(await hosted.python(talk, { port: server.port })).toBe("talk b'hello'\n")
})

test('one sandbox cannot fill the log: when its share is used up, the answer is no', async () => {
  using server = await Canary.open(echo)
  await using hosted = await Hosted.open(rules([]))
  hosted.airlock.register(hosted.id, rules(['good.example']), 2000)
  await hosted.python(python`
for number in range(100):
    resolve(b'n%d.example' % number)
`)
  expect(hosted.records.length).toBeGreaterThan(0)
  expect(hosted.records.length).toBeLessThan(20)
  expect(await hosted.python(talk, { port: server.port })).toMatch(/^talk .*not known\n$/)
  expect(server.connections).toBe(0)
})

test('other rules end what they do not allow, and leave what they do', async () => {
  using server = await Canary.open(echo)
  await using hosted = await Hosted.open(rules(['good.example']))
  const told = hosted.python(waiting, { port: server.port })
  await expect.poll(() => server.bytes).toBe(1)
  hosted.airlock.replace(hosted.id, rules(['*.example']))
  hosted.airlock.replace(hosted.id, everything)
  expect(await told).toBe('ended ECONNRESET\n')
  await expect.poll(() => hosted.of('network-end').map(({ why }) => why)).toEqual(['host'])
  expect(await hosted.python(talk, { port: server.port })).toBe('talk ECONNRESET\n')
  expect(server.connections).toBe(1)
})

test('rules that still allow a connection do not end it', async () => {
  using server = await Canary.open(echo)
  await using hosted = await Hosted.open(rules(['good.example']))
  const code = python`
one = opened('good.example', facts['port'])
one.sendall(b'x')
one.recv(1)
while not os.path.exists('/tmp/go'):
    time.sleep(0.05)
attempt('more', lambda: exchange(one))
`
  const told = hosted.python(code, { port: server.port })
  await expect.poll(() => server.bytes).toBe(1)
  hosted.airlock.replace(hosted.id, rules([`*.example:${server.port}`]))
  await hosted.sh('touch /tmp/go')
  expect(await told).toBe("more b'hello'\n")
})

test('while the host is away, and until it knows the sandbox again, the answer is no', async () => {
  using server = await Canary.open(echo)
  const egress = rules(['good.example'])
  await using hosted = await Hosted.open(egress)
  const told = hosted.python(waiting, { port: server.port })
  await expect.poll(() => server.bytes).toBe(1)
  await hosted.stop()
  expect(await told).toBe('ended ECONNRESET\n')
  expect(await hosted.python(talk, { port: server.port })).toMatch(/^talk .*(not known|name resolution)\n$/)
  await hosted.start()
  expect(await hosted.python(talk, { port: server.port })).toMatch(/^talk .*(not known|name resolution)\n$/)
  expect(await hosted.python(ip, { port: server.port })).toBe('talk ECONNRESET\n')
  expect(server.connections).toBe(1)
  hosted.airlock.register(hosted.id, egress, 1024 * 1024)
  expect(await hosted.python(talk, { port: server.port })).toBe("talk b'hello'\n")
  hosted.airlock.forget(hosted.id)
  expect(await hosted.python(talk, { port: server.port })).toMatch(/^talk .*not known\n$/)
})

const hello = '{"ask":"hello","sandbox":"SANDBOX","generation":1}\n'
const question = '{"ask":"connect","seq":1,"connection":7,"name":"good.example","address":null,"port":80,"way":"direct"}\n'

test.for([
  ['a question before the greeting', question],
  ['two greetings', hello + hello],
  ['no JSON', `${hello}no\n`],
  ['a field too many', `${hello}${question.replace('{', '{"more":1,')}`],
  ['a name that is none', `${hello}${question.replace('good.example', 'good\\u0000.example')}`],
  ['a line without end', `${hello}${'x'.repeat(100_000)}`],
  ['a connection named twice', `${hello}${question}${question}`],
] as const)('a gate that says %s is not answered any more', async ([, said]) => {
  await using hosted = await Hosted.open(rules(['good.example']))
  const peer = connect(hosted.airlock.sockets.socket)
  peer.on('error', () => peer.destroy())
  peer.write(said.replaceAll('SANDBOX', hosted.id))
  expect(await text(peer).catch(() => '')).toBe('')
})

test('what a connection carries is on record while it lasts; where it cannot be recorded it ends', async () => {
  await using hosted = await Hosted.open(rules(['good.example']))
  const peer = connect(hosted.airlock.sockets.socket)
  let answers = ''
  peer.on('error', () => peer.destroy()).on('data', (bytes) => (answers += bytes))
  peer.write((hello + question).replaceAll('SANDBOX', hosted.id))
  await expect.poll(() => answers).toContain('"verdict":"tunnel"')
  const moved = '{"ask":"moved","connection":7,"bytesOut":10,"bytesIn":20}\n'
  peer.write(moved)
  await expect.poll(() => hosted.of('network-moved')).toMatchObject([{ sandbox: hosted.id, connection: 7, bytesOut: 10, bytesIn: 20 }])
  hosted.airlock.register(hosted.id, rules(['good.example']), 0)
  peer.write(moved)
  await expect.poll(() => answers).toContain('{"answer":"end","connections":[7]}')
  expect(hosted.of('network-moved')).toHaveLength(1)
  peer.destroy()
})

test('the socket of refusals says nothing but of what was refused', async () => {
  await using hosted = await Hosted.open(rules(['good.example']))
  for (const said of ['{"sandbox":"SANDBOX","connection":1}\nGET / HTTP/1.1\r\n\r\n', 'null\n', '{}\n', 'x'.repeat(2000)]) {
    const peer = connect(hosted.airlock.sockets.inspect)
    peer.on('error', () => peer.destroy())
    peer.write(said.replace('SANDBOX', hosted.id))
    expect(await text(peer).catch(() => '')).toBe('')
  }
})
