import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary, toJson } from '@bufbuild/protobuf'
import { ListDirRequestSchema, ListDirResponseSchema } from '@caisson/wire/envd/filesystem'
import { StartRequestSchema, StartResponseSchema } from '@caisson/wire/envd/process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { residentBytes } from './daemon.ts'
import { collect, EnvdSandbox, envelope, start } from './envd-sandbox.ts'
import { everything } from './raw.ts'
import { head } from './raw-client.ts'

let sandbox: EnvdSandbox
beforeAll(async () => {
  sandbox = await EnvdSandbox.open()
})
afterAll(() => sandbox[Symbol.asyncDispose]())

const MIB = 1024 * 1024
const STAT = '/filesystem.Filesystem/Stat'
const START = '/process.Process/Start'

async function post(path: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string>) {
  const reply = await sandbox.fetch(path, { method: 'POST', body, headers })
  const bytes = Buffer.from(await reply.arrayBuffer())
  return { status: reply.status, headers: reply.headers, bytes, text: bytes.toString() }
}

const packedIn = <T extends DescMessage>(schema: T, message: MessageInitShape<T>) =>
  Buffer.from(toBinary(schema, create(schema, message))) as Buffer<ArrayBuffer>

describe('clients differ', () => {
  test('protobuf is spoken too, alone and in streams', async () => {
    await sandbox.run('mkdir -p some; touch some/file')
    const list = await post('/filesystem.Filesystem/ListDir', packedIn(ListDirRequestSchema, { path: 'some' }), {
      'content-type': 'application/proto',
    })
    expect(list.headers.get('content-type')).toBe('application/proto')
    const [entry] = fromBinary(ListDirResponseSchema, list.bytes).entries
    expect(entry).toMatchObject({ name: 'file', path: '/home/user/some/file', size: 0n, owner: 'user' })

    const message = packedIn(StartRequestSchema, { process: { cmd: 'echo', args: ['hi'] } })
    const head = Buffer.alloc(5)
    head.writeUInt32BE(message.length, 1)
    const { bytes } = await post(START, Buffer.concat([head, message]), { 'content-type': 'application/connect+proto' })
    const events: string[] = []
    for (let at = 0; at < bytes.length; ) {
      const end = at + 5 + bytes.readUInt32BE(at + 1)
      const part = bytes.subarray(at + 5, end)
      events.push(bytes[at] === 2 ? part.toString() : (fromBinary(StartResponseSchema, part).event?.event.case ?? ''))
      at = end
    }
    expect(events).toEqual(['start', 'data', 'end', '{}'])
  })

  test('a long listing comes in pieces, the same in every form: nobody waits for all of it to be written down', async () => {
    await sandbox.run('mkdir -p long; cd long; touch $(seq 1000 1999)')
    const names = Array.from({ length: 1000 }, (_, index) => `${1000 + index}`)
    const plain = { 'content-type': 'application/json' }
    const asked = { method: 'POST', body: JSON.stringify({ path: 'long' }) }
    const list = (headers: Record<string, string>, body: string | Uint8Array<ArrayBuffer> = asked.body) =>
      sandbox.fetch('/filesystem.Filesystem/ListDir', { ...asked, body, headers })
    const whole = await list({ ...plain, 'accept-encoding': 'identity' })
    expect([whole.headers.get('content-length'), whole.headers.get('content-encoding')]).toEqual([null, null])
    const { entries } = (await whole.json()) as { entries: { name: string; permissions: string }[] }
    expect(entries.map(({ name }) => name)).toEqual(names)
    const packed = await list({ ...plain, 'accept-encoding': 'gzip' })
    expect(packed.headers.get('content-encoding')).toBe('gzip')
    expect(await packed.json()).toEqual({ entries })
    const binary = await list({ 'content-type': 'application/proto' }, packedIn(ListDirRequestSchema, { path: 'long' }))
    const read = fromBinary(ListDirResponseSchema, new Uint8Array(await binary.arrayBuffer()))
    expect(read.entries.map(({ name }) => name)).toEqual(names)
    expect(toJson(ListDirResponseSchema, read)).toEqual({ entries })
    await sandbox.run('mkdir nothing')
    expect(await (await list(plain, JSON.stringify({ path: 'nothing' }))).json()).toEqual({})
  })

  test('JSON in any dress: pretty, with both kinds of names, with fields that nobody knows', async () => {
    const pretty = JSON.stringify({ path: '/tmp', include_entry: true, futureField: { a: 1 } }, null, 2)
    const made = await post('/filesystem.Filesystem/CreateWatcher', pretty, { 'content-type': 'application/json' })
    expect(JSON.parse(made.text)).toHaveProperty('watcherId')
  })

  test('a command that is asked for whole hears what one hears whose request is packed', async () => {
    const asked = envelope({ process: { cmd: 'sh', args: ['-c', 'echo hi; exit 3'] } })
    const json = gzipSync(asked.subarray(5)) as Buffer<ArrayBuffer>
    const head = Buffer.from([1, 0, 0, 0, 0])
    head.writeUInt32BE(json.length, 1)
    const type = { 'content-type': 'application/connect+json', 'connect-accept-encoding': 'gzip' }
    const whole = await post(START, asked, type)
    const packed = await post(START, Buffer.concat([head, json]), { ...type, 'connect-content-encoding': 'gzip' })
    const said = ({ text }: typeof whole) => text.replace(/"pid":\d+/, '"pid":0').match(/\{"event".*?\}{3}|\{\}$/gs)
    const about = ({ status, headers }: typeof whole) => [status, headers.get('content-type'), headers.get('connect-content-encoding')]
    expect(said(whole)).toHaveLength(4)
    expect(whole.text).toContain('"exitCode":3')
    expect([said(whole), ...about(whole)]).toEqual([said(packed), ...about(packed)])
  })

  test('an encoding that changes nothing is no obstacle', async () => {
    const body = JSON.stringify({ path: '/tmp' })
    const stat = await post(STAT, body, { 'content-type': 'application/json', 'content-encoding': 'identity' })
    expect(stat.status).toBe(200)
    const none = { 'connect-content-encoding': 'identity', 'connect-accept-encoding': 'identity', 'accept-encoding': 'zstd,gzip,br' }
    const run = await sandbox.run('echo hi', {}, none)
    expect(run.stdout).toBe('hi\n')
  })

  test('gzip is taken; what else there may be is refused in the way of the call', async () => {
    const body = gzipSync(JSON.stringify({ path: '/tmp' })) as Buffer<ArrayBuffer>
    const json = { 'content-type': 'application/json' }
    expect((await post(STAT, body, { ...json, 'content-encoding': 'gzip' })).status).toBe(200)
    const unknown = await post(STAT, body, { ...json, 'content-encoding': 'br' })
    expect([unknown.status, JSON.parse(unknown.text).code]).toEqual([501, 'unimplemented'])
    const run = await sandbox.run('true', {}, { 'connect-content-encoding': 'br' })
    expect(run.error.code).toBe('unimplemented')
  })

  test('a timeout may be nothing, or longer than any clock counts', async () => {
    for (const timeout of ['0', '9999999999']) {
      expect((await sandbox.run('echo hi', {}, { 'connect-timeout-ms': timeout })).stdout).toBe('hi\n')
    }
    expect((await sandbox.run('true', {}, { 'connect-timeout-ms': 'soon' })).error.code).toBe('invalid_argument')
  })
})

describe('what is wrong is said', () => {
  test.each([
    ['no JSON', '{"path":', 'invalid_argument'],
    ['the wrong type', '{"path":7}', 'invalid_argument'],
    ['an empty body', '', 'invalid_argument'],
    ['NUL in a name', '{"path":"a\\u0000b"}', 'invalid_argument'],
    ['half a character in a name', '{"path":"a\\ud800b"}', 'invalid_argument'],
  ])('%s', async (_, body, code) => {
    const { status, text } = await post(STAT, body, { 'content-type': 'application/json' })
    expect([status, JSON.parse(text).code]).toEqual([400, code])
  })

  test('names that are not UTF-8, wherever they come from', async () => {
    const raw = Buffer.concat([Buffer.from('{"path":"a'), Buffer.from([0xff]), Buffer.from('"}')]) as Buffer<ArrayBuffer>
    const stat = await post(STAT, raw, { 'content-type': 'application/json' })
    expect(stat.status).toBe(400)
    const octets = { 'content-type': 'application/octet-stream' }
    for (const path of ['a%00b', 'a%ffb', 'a%ed%a0%80b']) {
      const { status, text } = await post(`/files?path=${path}`, 'x', octets)
      expect([status, JSON.parse(text).code], path).toEqual([400, 400])
      expect((await sandbox.fetch(`/files?path=${path}`)).status, path).toBe(400)
    }
  })

  test('another content type, another method', async () => {
    expect((await post(STAT, '{}', { 'content-type': 'text/plain' })).status).toBe(415)
    expect((await post(START, '{}', { 'content-type': 'application/json' })).status).toBe(415)
    expect((await sandbox.fetch(STAT)).status).toBe(405)
    expect((await sandbox.fetch('/files', { method: 'DELETE' })).status).toBe(404)
  })

  test('an envelope that is cut off, empty, or says that it is large', async () => {
    const type = { 'content-type': 'application/connect+json' }
    const whole = envelope({ process: { cmd: 'true' } })
    for (const body of [whole.subarray(0, 3), whole.subarray(0, 20), Buffer.alloc(0), Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1])]) {
      const { status, bytes } = await post(START, body, type)
      expect([status, bytes[0]]).toEqual([200, 2])
      expect(JSON.parse(bytes.toString('utf8', 5)).error.code).toMatch(/invalid_argument|resource_exhausted|unimplemented/)
    }
    const twice = await post(START, Buffer.concat([whole, whole]), type)
    expect(JSON.parse(twice.bytes.toString('utf8', twice.bytes.lastIndexOf('{"error'))).error.code).toMatch(
      /invalid_argument|unimplemented/,
    )
  })

  const part = (name: string) => `--b\r\ncontent-disposition: form-data; name="file"; filename="${name}"\r\n\r\n`
  test.each([
    ['a body that is not gzip', '/files?path=no', { 'content-type': 'application/octet-stream', 'content-encoding': 'gzip' }, '', 400],
    ['a part twice', '/files', { 'content-type': 'multipart/form-data; boundary=b' }, `${part('one')}x\r\n${part('one')}`, 400],
    ['a part that may not be', '/files', { 'content-type': 'multipart/form-data; boundary=b' }, part('/proc/none/x'), 404],
    ['a large message', '/process.Process/SendInput', { 'content-type': 'application/json' }, '{"input":{"stdin":"', 429],
  ])('%s, while the client sends on: it is heard out, and may ask again', async (_, path, headers, before, status) => {
    const socket = connect(Number(new URL(sandbox.daemon.url).port), '127.0.0.1')
    const all = everything(socket)
    const about = { host: 'x', ...sandbox.address, 'x-access-token': sandbox.token }
    const length = { 'content-length': String(before.length + 24 * MIB) }
    socket.write(`${head(`POST ${path}`, { ...about, ...headers, ...length })}${before}`)
    for (let sent = 0; sent < 24 && !socket.destroyed; sent += 1) {
      const more = socket.write(Buffer.alloc(MIB, 'x'))
      if (!more) await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve))
    }
    socket.write(head('GET /health', { ...about, connection: 'close' }))
    const { text, error } = await all
    expect(error).toBeUndefined()
    expect([...text.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, code]) => Number(code))).toEqual([status, 204])
  })

  test('a command with more than the wire to the agent carries', async () => {
    const run = await sandbox.run(`: ${'x'.repeat(MIB)}`)
    expect(run.error.code).toBe('invalid_argument')
    // All that it says would have been looked through for secrets, while everybody waits.
    expect(readFileSync(join(sandbox.daemon.home, 'audit/audit.jsonl'), 'utf8')).not.toContain('xxxx')
    const names = await sandbox.run('true', { envs: { 'A=B': 'x' } })
    expect(names.error).toMatchObject({ code: 'invalid_argument' })
  })
})

describe('what is hostile costs little', () => {
  const memory = async () => Math.round((await residentBytes(sandbox.daemon.process.pid ?? 0)) / MIB)

  test('a message of more than 4 MiB, packed or not', async () => {
    const json = { 'content-type': 'application/json' }
    const large = JSON.stringify({ path: 'x'.repeat(5 * MIB) })
    const plain = await post(STAT, large, json)
    expect(JSON.parse(plain.text).code).toBe('resource_exhausted')
    const before = await memory()
    const bomb = gzipSync(Buffer.alloc(512 * MIB, 'x')) as Buffer<ArrayBuffer>
    const packed = await post(STAT, bomb, { ...json, 'content-encoding': 'gzip' })
    expect(JSON.parse(packed.text).code).toBe('resource_exhausted')
    expect((await memory()) - before).toBeLessThan(128)
  })

  test('a form of a hundred thousand parts is refused before it is read', async () => {
    const part = '--b\r\ncontent-disposition: form-data; name="file"; filename="/tmp/flood/x"\r\n\r\n\r\n'
    const { status, text } = await post('/files', `${part.repeat(100_000)}--b--\r\n`, { 'content-type': 'multipart/form-data; boundary=b' })
    expect([status, JSON.parse(text).code]).toEqual([400, 400])
    const other = part.replace('"file"', '"other"')
    const passed = await post('/files', `${other.repeat(100_000)}--b--\r\n`, { 'content-type': 'multipart/form-data; boundary=b' })
    expect([passed.status, JSON.parse(passed.text).message]).toEqual([400, 'more than 10000 parts in one request'])
  })

  test('a form whose end never comes leaves nothing behind', async () => {
    const socket = connect(Number(new URL(sandbox.daemon.url).port), '127.0.0.1')
    const { address, token } = sandbox
    const head = ['POST /files HTTP/1.1', 'host: x', `e2b-sandbox-id: ${address['e2b-sandbox-id']}`, 'e2b-sandbox-port: 49983']
    const more = [`x-access-token: ${token}`, 'content-type: multipart/form-data; boundary=b', 'content-length: 100000', '', '']
    socket.write([...head, ...more].join('\r\n'))
    socket.write('--b\r\ncontent-disposition: form-data; name="file"; filename="half"\r\n\r\nthe first half')
    const isThere = async (name: string) => (await sandbox.run(`ls -A | grep -c ${name}`)).stdout.trim()
    while ((await isThere('caisson')) === '0') await sandbox.run('sleep 0.05')
    socket.destroy()
    while ((await isThere('caisson')) !== '0') await sandbox.run('sleep 0.05')
    expect(await isThere('half')).toBe('0')
  })

  test('a form that is cut off is refused', async () => {
    const cut = '--b\r\ncontent-disposition: form-data; name="file"; filename="cut"\r\n\r\nthe first half'
    const { status, text } = await post('/files', cut, { 'content-type': 'multipart/form-data; boundary=b' })
    expect([status, JSON.parse(text).code]).toEqual([400, 400])
    expect((await sandbox.fetch('/files?path=cut')).status).toBe(404)
  })

  test('a full disk is said, and what was there stays', async () => {
    const octets = { 'content-type': 'application/octet-stream' }
    expect((await post('/files?path=kept', 'kept', octets)).status).toBe(200)
    const body = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(MIB))
      },
    })
    const init = { method: 'POST', body, headers: octets, duplex: 'half' } as RequestInit
    const reply = await sandbox.fetch('/files?path=kept', init)
    expect([reply.status, ((await reply.json()) as { code: number }).code]).toEqual([507, 507])
    const inside = async (command: string) => await collect(sandbox.stream('process.Process/Start', start(command)))
    const fill = 'fallocate -l $(($(stat -f -c "%a * %S" .))) rest; head -c 1G /dev/zero > brim'
    expect((await inside(fill)).stderr).toContain('No space left on device')
    const unmade = await sandbox.rpc('filesystem.Filesystem/MakeDir', { path: 'unmade' })
    expect([unmade.status, unmade.json]).toEqual([500, { code: 'internal', message: expect.stringContaining('No space left on device') }])
    expect((await inside('rm rest brim')).stderr).toBe('')
    expect(await (await sandbox.fetch('/files?path=kept')).text()).toBe('kept')
    expect((await inside('echo alive')).stdout).toBe('alive\n')
  })
})
