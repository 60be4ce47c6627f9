import { setTimeout as pause } from 'node:timers/promises'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EnvdSandbox, type Envelope } from './envd-sandbox.ts'

let sandbox: EnvdSandbox
beforeAll(async () => {
  sandbox = await EnvdSandbox.open()
})
afterAll(() => sandbox[Symbol.asyncDispose]())

const FS = 'filesystem.Filesystem'
const rpc = (method: string, body: unknown, headers?: Record<string, string>) => sandbox.rpc(`${FS}/${method}`, body, headers)

async function upload(form: FormData, query = '', headers: Record<string, string> = {}) {
  const reply = await sandbox.fetch(`/files${query}`, { method: 'POST', body: form, headers })
  return { status: reply.status, json: (await reply.json()) as Envelope['json'] }
}

async function octets(path: string, body: string | Buffer<ArrayBuffer>, headers: Record<string, string> = {}, more = '') {
  const type = { 'content-type': 'application/octet-stream' }
  const init = { method: 'POST', body, headers: { ...type, ...headers } }
  const reply = await sandbox.fetch(`/files?path=${encodeURIComponent(path)}${more}`, init)
  return { status: reply.status, json: (await reply.json()) as Envelope['json'] }
}

const read = (path: string, headers: Record<string, string> = {}) => sandbox.fetch(`/files?path=${encodeURIComponent(path)}`, { headers })

function formOf(...files: [name: string, content: string][]): FormData {
  const form = new FormData()
  for (const [name, content] of files) form.append('file', new Blob([content]), name)
  return form
}

describe('uploads', () => {
  test('several files go where their names say, told in order and with no other words', async () => {
    const { status, json } = await upload(formOf(['up/ü/b.txt', 'b'], ['/tmp/a file.txt', 'a'], ['~/c', 'c']))
    expect(status).toBe(200)
    expect(json).toEqual([
      { path: '/home/user/up/ü/b.txt', name: 'b.txt', type: 'file' },
      { path: '/tmp/a file.txt', name: 'a file.txt', type: 'file' },
      { path: '/home/user/c', name: 'c', type: 'file' },
    ])
    expect(await (await read('up/ü/b.txt')).text()).toBe('b')
    const made = await sandbox.run("stat -c '%a %U:%G' up up/ü up/ü/b.txt")
    expect(made.stdout).toBe('755 user:user\n755 user:user\n644 user:user\n')
  })

  test("go where only root may write, and are the user's; our own clients are told instead", async () => {
    const { status, json } = await upload(formOf(['/0/below/file.txt', 'zero'], ['/usr/share/note', 'note']))
    expect([status, json]).toMatchObject([200, [{ path: '/0/below/file.txt' }, { path: '/usr/share/note' }]])
    await sandbox.run('echo old | sudo tee /opt/theirs')
    expect((await octets('/opt/theirs', 'new')).status).toBe(200)
    const made = await sandbox.run("stat -c '%a %U:%G' /0 /0/below /0/below/file.txt /usr/share/note /opt/theirs /opt; cat /opt/theirs")
    expect(made.stdout).toBe('755 user:user\n755 user:user\n644 user:user\n644 user:user\n644 user:user\n755 root:root\nnew')
    expect((await octets('/opt/x', 'x', { 'caisson-client': '1' })).status).toBe(403)
    expect((await octets('/proc/sys/kernel/hostname', 'x')).status).toBe(403)
  })

  test('the path of the request counts more than the name; a field without a name will do', async () => {
    expect((await upload(formOf(['other', 'x']), '?path=named')).json).toEqual([{ path: '/home/user/named', name: 'named', type: 'file' }])
    const plain = new FormData()
    plain.append('file', 'täxt')
    expect((await upload(plain, '?path=plain')).status).toBe(200)
    expect(await (await read('plain')).text()).toBe('täxt')
  })

  test('of one name twice, only the first is written', async () => {
    const { status, json } = await upload(formOf(['twice', 'first'], ['/home/user/./twice', 'second']))
    expect(status).toBe(400)
    expect(json).toMatchObject({ code: 400 })
    expect(json.message).toContain("'/home/user/twice'")
    expect(await (await read('twice')).text()).toBe('first')
  })

  test('a body of octets is the file; packed, it is unpacked', async () => {
    expect((await octets('octets', 'abc')).json).toEqual([{ path: '/home/user/octets', name: 'octets', type: 'file' }])
    const packed = await octets('packed', gzipSync('unpacked') as Buffer<ArrayBuffer>, { 'content-encoding': 'gzip' })
    expect(packed.status).toBe(200)
    expect(await (await read('packed')).text()).toBe('unpacked')
    expect((await octets('broken', 'this is not gzip', { 'content-encoding': 'gzip' })).json).toMatchObject({ code: 400 })
    expect((await octets('broken', 'x', { 'content-encoding': 'br' })).json.message).toContain('content-encoding')
    expect((await read('broken')).status).toBe(404)
  })

  test('a form may be packed, and in as many pieces as the client likes', async () => {
    const form = new Request('http://x', { method: 'POST', body: formOf(['in-form', 'x'.repeat(300_000)], ['in-form-2', 'y']) })
    const whole = gzipSync(Buffer.from(await form.arrayBuffer()))
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < whole.length; at += 100) controller.enqueue(new Uint8Array(whole.subarray(at, at + 100)))
        controller.close()
      },
    })
    const headers = { 'content-type': form.headers.get('content-type') ?? '', 'content-encoding': 'gzip' }
    const reply = await sandbox.fetch('/files', { method: 'POST', body, headers, duplex: 'half' } as RequestInit)
    expect(await reply.json()).toHaveLength(2)
    expect((await (await read('in-form')).text()).length).toBe(300_000)
  })

  test('metadata stays with the file until the next upload, and is what its attributes say', async () => {
    const metadata = { author: 'mish', purpose: 'upload' }
    const written = await octets('meta', 'x', { 'x-metadata-Author': 'mish', 'X-METADATA-purpose': 'upload' })
    expect(written.json).toEqual([{ path: '/home/user/meta', name: 'meta', type: 'file', metadata }])
    expect((await rpc('Stat', { path: 'meta' })).json.entry.metadata).toEqual(metadata)
    const moved = await rpc('Move', { source: 'meta', destination: 'moved/meta' })
    expect(moved.json.entry).toMatchObject({ path: '/home/user/moved/meta', metadata })
    expect((await rpc('ListDir', { path: 'moved' })).json.entries[0].metadata).toEqual(metadata)
    expect((await octets('moved/meta', 'y')).json[0]).not.toHaveProperty('metadata')
    expect((await rpc('Stat', { path: 'moved/meta' })).json.entry).not.toHaveProperty('metadata')
    await sandbox.run(
      `python3 -c "import os; os.setxattr('moved/meta', 'user.e2b.by', b'hand'); os.setxattr('moved/meta', 'user.x', b'y')"`,
    )
    expect((await rpc('Stat', { path: 'moved/meta' })).json.entry.metadata).toEqual({ by: 'hand' })
  })

  test.each([
    ['a value that is not ASCII', { 'x-metadata-a': 'ü' }],
    ['a key that is too long', { [`x-metadata-${'k'.repeat(247)}`]: 'v' }],
    ['too much of it', { 'x-metadata-a': 'v'.repeat(4096) }],
  ])('metadata: %s is refused', async (_, headers) => {
    const { status, json } = await octets('refused', 'x', headers)
    expect(status).toBe(400)
    expect(json.message).toMatch(/^X-Metadata-/)
    expect((await read('refused')).status).toBe(404)
  })

  test('root writes where root may, and what root writes is roots', async () => {
    const reply = await sandbox.fetch('/files?username=root&path=of-root', { method: 'POST', body: formOf(['x', 'secret']) })
    expect(await reply.json()).toEqual([{ path: '/root/of-root', name: 'of-root', type: 'file' }])
    await octets('changes-hands', 'x')
    expect((await octets('/home/user/changes-hands', 'y', {}, '&username=root')).status).toBe(200)
    expect((await rpc('Stat', { path: 'changes-hands' })).json.entry).toMatchObject({ owner: 'root', group: 'root' })
  })

  test('an unknown user, a folder, no form: each is refused in E2B’s words', async () => {
    const unknown = await octets('x', 'x', {}, '&username=nobody-here')
    expect(unknown).toEqual({ status: 401, json: { code: 401, message: "invalid username: 'nobody-here'" } })
    expect((await octets('/tmp', 'x')).json).toMatchObject({ code: 400 })
    const text = await sandbox.fetch('/files?path=x', { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } })
    expect(await text.json()).toMatchObject({ code: 400 })
    const unbounded = { method: 'POST', body: 'x', headers: { 'content-type': 'multipart/form-data' } }
    expect(await (await sandbox.fetch('/files?path=x', unbounded)).json()).toMatchObject({ code: 400 })
    const nowhere = await sandbox.fetch('/files', { method: 'POST', body: 'x', headers: { 'content-type': 'application/octet-stream' } })
    expect(await nowhere.json()).toMatchObject({ code: 400 })
  })
})

describe('downloads', () => {
  test('bytes as they are, with their size and name', async () => {
    await octets('down load".txt', 'content')
    const reply = await read('down load".txt')
    expect(reply.status).toBe(200)
    expect(Object.fromEntries(reply.headers)).toMatchObject({
      'content-length': '7',
      'content-disposition': 'inline; filename="down load\\".txt"',
      'content-type': 'text/plain; charset=utf-8',
    })
    expect(await reply.text()).toBe('content')
  })

  test('one that is replaced all the while is whole each time: the old one or the new one', async () => {
    const program = 'import os\nwhile True:\n  for n in (9, 5000): open("n", "w").write("x" * n); os.rename("n", "replaced")'
    const writing = await sandbox.run(`touch replaced; setsid python3 -c '${program}' > /dev/null 2>&1 & echo $!`)
    const lengths: number[] = []
    for (let count = 0; count < 200; count += 1) lengths.push((await (await read('replaced')).text()).length)
    await sandbox.run(`kill -9 ${writing.stdout.trim()} || pkill -9 python3`)
    expect(new Set(lengths.filter((length) => length !== 0))).toEqual(new Set([9, 5000]))
  })

  test('many at once, fast, slowly, in part and broken off: each gets the bytes of its own file', async () => {
    const bytes = 24 * 1024 * 1024
    // No four bytes are those of another place, or of another file.
    const contents = ['a', 'b', 'c'].map((name, file) => {
      const numbers = Uint32Array.from({ length: bytes / 4 }, (_, place) => file * bytes + place)
      return [name, Buffer.from(numbers.buffer)] as const
    })
    const expected = (name: string) => new Map(contents).get(name) ?? Buffer.alloc(0)
    const made = await Promise.all(contents.map(([name, content]) => octets(`large-${name}`, content)))
    expect(made.map(({ status }) => status)).toEqual([200, 200, 200])
    const fast = async (name: string) => {
      const got = Buffer.from(await (await read(`large-${name}`)).arrayBuffer())
      return got.equals(expected(name))
    }
    const inPart = async (name: string) => {
      const got = Buffer.from(await (await read(`large-${name}`, { range: 'bytes=1200-13000000' })).arrayBuffer())
      return got.equals(expected(name).subarray(1200, 13_000_001))
    }
    const slow = async (name: string, most: number) => {
      const [whole, pieces] = [expected(name), (await read(`large-${name}`)).body as ReadableStream<Uint8Array<ArrayBuffer>>]
      let at = 0
      for await (const piece of pieces) {
        if (!whole.subarray(at, at + piece.length).equals(piece)) return false
        at += piece.length
        if (at >= most) break
        await pause(1)
      }
      return at >= most
    }
    const all = ['a', 'b', 'c'].flatMap((name) => [fast(name), slow(name, bytes), slow(name, 5_000_000), inPart(name), fast(name)])
    expect(await Promise.all(all)).toEqual(Array.from({ length: 15 }, () => true))
    expect(await fast('b')).toBe(true)
  })

  test('an empty file is empty; a file of no size may have contents', async () => {
    await octets('empty', '')
    const empty = await read('empty')
    expect([empty.status, empty.headers.get('content-length'), await empty.text()]).toEqual([200, '0', ''])
    const packed = await read('empty', { 'accept-encoding': 'gzip' })
    expect([packed.status, packed.headers.get('content-length'), packed.headers.get('content-encoding')]).toEqual([200, '0', null])
    expect(await (await read('/proc/sys/kernel/random/boot_id')).text()).toMatch(/^[0-9a-f-]{36}\n$/)
  })

  test('a part of it', async () => {
    await octets('digits', '0123456789')
    const part = async (range: string) => {
      const reply = await read('digits', { range })
      return [reply.status, reply.headers.get('content-range'), await reply.text()]
    }
    expect(await part('bytes=2-4')).toEqual([206, 'bytes 2-4/10', '234'])
    expect(await part('bytes=7-')).toEqual([206, 'bytes 7-9/10', '789'])
    expect(await part('bytes=-2')).toEqual([206, 'bytes 8-9/10', '89'])
    expect(await part('bytes=10-')).toEqual([416, 'bytes */10', ''])
    expect(await part('bytes=0-1,4-5')).toEqual([200, null, '0123456789'])
    expect(await part('lines=1-2')).toEqual([200, null, '0123456789'])
  })

  test('packed for those who ask for nothing else', async () => {
    await octets('packs', 'x'.repeat(10_000))
    const { request } = await import('node:http')
    const raw = await new Promise<{ encoding: string | undefined; body: Buffer }>((resolve) => {
      const headers = { ...sandbox.address, 'x-access-token': sandbox.token, 'accept-encoding': 'gzip' }
      request(`${sandbox.daemon.url}/files?path=packs`, { headers }, (reply) => {
        const pieces: Buffer[] = []
        reply.on('data', (piece: Buffer) => pieces.push(piece))
        reply.on('end', () => resolve({ encoding: reply.headers['content-encoding'], body: Buffer.concat(pieces) }))
      }).end()
    })
    expect(raw.encoding).toBe('gzip')
    expect(gunzipSync(raw.body).toString()).toBe('x'.repeat(10_000))
    expect((await read('packs', { 'accept-encoding': 'gzip, deflate' })).headers.get('content-encoding')).toBeNull()
  })

  test('what is not there, a folder, an unknown user', async () => {
    expect(await (await read('nope')).json()).toEqual({ code: 404, message: "path '/home/user/nope' does not exist" })
    expect(await (await read('/tmp')).json()).toEqual({ code: 400, message: "path '/tmp' is a directory" })
    const unknown = await sandbox.fetch('/files?path=x&username=nobody-here')
    expect(await unknown.json()).toEqual({ code: 401, message: "invalid username: 'nobody-here'" })
    expect((await read('/root/x')).status).toBe(404)
    // Of root, and nobody else's to read.
    expect((await read('/proc/1/environ')).status).toBe(403)
  })

  test('are pages without scripts and with an origin of their own', async () => {
    await octets('page.html', '<script>alert(1)</script>')
    const { headers } = await read('page.html')
    expect(headers.get('content-security-policy')).toBe('sandbox')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
  })
})

test('one file is made of many, which are gone then', async () => {
  await upload(formOf(['part/1', 'one '], ['part/2', 'two']))
  const body = JSON.stringify({ source_paths: ['part/1', 'part/2'], destination: 'whole' })
  const init = { method: 'POST', body, headers: { 'content-type': 'application/json' } }
  expect(await (await sandbox.fetch('/files/compose', init)).json()).toEqual({ path: '/home/user/whole', name: 'whole', type: 'file' })
  expect(await (await read('whole')).text()).toBe('one two')
  expect((await read('part/1')).status).toBe(404)
  expect((await sandbox.fetch('/files/compose', init)).status).toBe(404)
})
