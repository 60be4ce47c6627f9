import type { FileChange, Files } from '@caisson/wire'
import { afterEach, expect, test } from 'vitest'
import { SandboxFiles } from '../files.ts'
import { endOfStream, FakeDaemon, ID, json, messages, type Script, unaborted } from './fake-daemon.ts'

let daemon: FakeDaemon | undefined
afterEach(async () => {
  await daemon?.[Symbol.asyncDispose]()
  daemon = undefined
})

async function opened(script: Script): Promise<{ daemon: FakeDaemon; files: Files }> {
  daemon = await FakeDaemon.open(script)
  return { daemon, files: (await daemon.held()).files }
}

const STAT = 'POST /filesystem.Filesystem/Stat'
const entry = {
  name: 'ä b',
  type: 'FILE_TYPE_FILE',
  path: '/home/user/ä b',
  size: '12',
  mode: 420,
  permissions: '-rw-r--r--',
  owner: 'user',
  group: 'user',
  modifiedTime: '2026-01-02T03:04:05.678901234Z',
}
const asEntry = {
  path: '/home/user/ä b',
  name: 'ä b',
  kind: 'file',
  size: 12,
  mode: 0o644,
  owner: 'user',
  group: 'user',
  modifiedMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
}
const stat: Script[string] = ({ reply }) => json(reply, 200, { entry })

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = []
  for await (const piece of pieces) all.push(piece)
  return Buffer.concat(all).toString()
}

test('a file is read as it is, with its name written so that it arrives', async () => {
  const { daemon, files } = await opened({ 'GET /files': ({ reply }) => void reply.end('content') })
  expect(await bytesOf(files.read('/home/user/ä b&c', { user: 'root' }, unaborted()))).toBe('content')
  const [asked] = daemon.of('GET /files')
  expect(Object.fromEntries(new URL(asked?.line.slice(4) ?? '', daemon.url).searchParams)).toEqual({
    path: '/home/user/ä b&c',
    username: 'root',
  })
  expect(asked?.headers).toMatchObject({ 'x-access-token': 'token', 'e2b-sandbox-id': ID })
  expect(asked?.headers).not.toHaveProperty('accept-encoding')
})

test('a part of a file is asked for as a range; behind its end there is nothing', async () => {
  const { daemon, files } = await opened({
    'GET /files': ({ request, reply }) => {
      if (request.headers.range === 'bytes=100-') json(reply, 416, { code: 416, message: 'no' })
      else reply.writeHead(206).end('part')
    },
    [STAT]: stat,
  })
  expect(await bytesOf(files.read('/f', { offset: 3, length: 4 }, unaborted()))).toBe('part')
  expect(await bytesOf(files.read('/f', { length: 4 }, unaborted()))).toBe('part')
  expect(await bytesOf(files.read('/f', { offset: 100 }, unaborted()))).toBe('')
  expect(await bytesOf(files.read('/f', { length: 0 }, unaborted()))).toBe('')
  expect(daemon.of('GET /files').map(({ headers }) => headers.range)).toEqual(['bytes=3-6', 'bytes=0-3', 'bytes=100-'])
  await expect(bytesOf(files.read('/f', { offset: -1 }, unaborted()))).rejects.toMatchObject({ code: 'BAD_REQUEST' })
})

test('a whole file where a part was asked for is refused, not taken for it', async () => {
  const { files } = await opened({ 'GET /files': ({ reply }) => void reply.end('whole') })
  await expect(bytesOf(files.read('/f', { offset: 2 }, unaborted()))).rejects.toMatchObject({ code: 'INTERNAL' })
})

test.each([
  ['its code', 404, { code: 404, message: 'x', error_code: 'file_missing' }, 'FILE_MISSING'],
  ['its status alone', 404, { code: 404, message: "path 'x' does not exist" }, 'FILE_MISSING'],
  ['a rule of permissions', 403, { code: 403, message: 'x' }, 'FILE_DENIED'],
  ['a full disk', 507, { code: 507, message: 'full' }, 'LIMIT_HIT'],
  ['no JSON at all', 500, '<html>', 'INTERNAL'],
])('a refusal with %s', async (_, status, body, code) => {
  const { files } = await opened({
    'GET /files': ({ reply }) => (typeof body === 'string' ? void reply.writeHead(status).end(body) : json(reply, status, body)),
    'POST /files': ({ reply }) => (typeof body === 'string' ? void reply.writeHead(status).end(body) : json(reply, status, body)),
  })
  await expect(bytesOf(files.read('/x', {}, unaborted()))).rejects.toMatchObject({ code })
  await expect(files.write('/x', Buffer.from('x'), {}, unaborted())).rejects.toMatchObject({ code })
})

test('bytes and streams are written as they are; what E2B has no word for is said beside', async () => {
  const { daemon, files } = await opened({
    'POST /files': ({ reply }) => json(reply, 200, [{ path: '/f', name: 'f', type: 'file' }]),
    [`POST /caisson/v1/sandboxes/${ID}/attributes`]: ({ reply }) => json(reply, 200, {}),
    [STAT]: stat,
  })
  expect(await files.write('/f', Buffer.from('ß'), {}, unaborted())).toEqual(asEntry)
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('a')
    yield Buffer.from('b')
  }
  await files.write('/f', pieces(), { user: 'root', mode: 0o600, append: true, attributes: { 'a b': 'ü' } }, unaborted())
  const [bytes, stream] = daemon.of('POST /files')
  expect(bytes).toMatchObject({ body: 'ß', line: 'POST /files?path=%2Ff', headers: { 'content-length': '2' } })
  expect(stream).toMatchObject({ body: 'ab', line: 'POST /files?path=%2Ff&username=root&mode=600&append=1' })
  expect(stream?.headers['content-type']).toBe('application/octet-stream')
  const [attributes] = daemon.of(`POST /caisson/v1/sandboxes/${ID}/attributes`)
  expect(JSON.parse(attributes?.body ?? '')).toEqual({ path: '/f', user: 'root', attributes: { 'a b': 'ü' } })
  expect(attributes?.headers['x-api-key']).toBe('e2b_abc')
})

test.each([
  [{ ...entry, type: 'FILE_TYPE_DIRECTORY' }, { kind: 'directory' }],
  [{ ...entry, type: undefined }, { kind: 'other' }],
  [
    { ...entry, symlinkTarget: '/etc' },
    { kind: 'symlink', symlinkTarget: '/etc' },
  ],
  [{ ...entry, metadata: { a: '1' } }, { attributes: { 'e2b.a': '1' } }],
  [{ ...entry, metadata: { a: '1' }, attributes: { 'e2b.a': '1', b: '2' } }, { attributes: { 'e2b.a': '1', b: '2' } }],
  [{ path: '/' }, { path: '/', name: '', size: 0, mode: 0, kind: 'other' }],
])('an entry: %j', async (told, part) => {
  const { files } = await opened({ [STAT]: ({ reply }) => json(reply, 200, { entry: told }) })
  expect(await files.stat('/x', {}, unaborted())).toMatchObject(part)
})

test('a folder that exists is no error, a file in its place is', async () => {
  const kinds = ['FILE_TYPE_DIRECTORY', 'FILE_TYPE_FILE']
  const { daemon } = await opened({
    'POST /filesystem.Filesystem/MakeDir': ({ reply }) => json(reply, 409, { code: 'already_exists', message: 'there' }),
    [STAT]: ({ reply }) => json(reply, 200, { entry: { ...entry, type: kinds.shift() } }),
  })
  const files = new SandboxFiles(await daemon.held())
  expect(await files.makeDir('/d')).toMatchObject({ kind: 'directory' })
  await expect(files.makeDir('/d')).rejects.toMatchObject({ code: 'FILE_EXISTS' })
})

test('list, move, remove', async () => {
  const { daemon, files } = await opened({
    'POST /filesystem.Filesystem/ListDir': ({ reply }) => json(reply, 200, { entries: [entry, entry] }),
    'POST /filesystem.Filesystem/Move': ({ reply }) => json(reply, 200, { entry }),
    'POST /filesystem.Filesystem/Remove': ({ reply }) => json(reply, 404, { code: 'not_found', message: 'no' }),
  })
  expect(await files.list('/d', { depth: 3 }, unaborted())).toEqual([asEntry, asEntry])
  expect(await files.move('/a', '/b', {}, unaborted())).toEqual(asEntry)
  await expect(files.remove('/a', {}, unaborted())).rejects.toMatchObject({ code: 'FILE_MISSING' })
  expect(daemon.asked.slice(1).map(({ body }) => JSON.parse(body) as unknown)).toEqual([
    { path: '/d', depth: 3 },
    { source: '/a', destination: '/b' },
    { path: '/a' },
  ])
})

const WATCH = 'POST /filesystem.Filesystem/WatchDir'
const change = (name: string, type?: string) => ({ filesystem: { name, type, entry } })

test('a change that is made after watch() was called is seen: nothing is asked before the watch stands', async () => {
  const order: string[] = []
  const { files } = await opened({
    [WATCH]: async ({ reply }) => {
      await new Promise((resolve) => setTimeout(resolve, 100))
      order.push('watching')
      reply.writeHead(200).write(messages({ start: {} }))
    },
    'POST /filesystem.Filesystem/Remove': ({ reply }) => {
      order.push('removed')
      json(reply, 200, {})
    },
  })
  const changes = files.watch('/d', {}, unaborted())[Symbol.asyncIterator]()
  await files.remove('/d/x', {}, unaborted())
  expect(order).toEqual(['watching', 'removed'])
  await changes.return?.()
})

test('changes, their loss, and the end of watching', async () => {
  const { daemon, files } = await opened({
    [WATCH]: ({ reply }) =>
      void reply.writeHead(200).write(messages({ start: {} }, change('a', 'EVENT_TYPE_CREATE'), { keepalive: {} }, change('', undefined))),
  })
  const seen: FileChange[] = []
  for await (const found of files.watch('/d', { recursive: true, includeEntry: true, user: 'root' }, unaborted())) {
    seen.push(found)
    if (seen.length === 2) break
  }
  expect(seen).toEqual([
    { kind: 'create', name: 'a', entry: asEntry },
    { kind: 'overflow', name: '', entry: asEntry },
  ])
  expect(JSON.parse(daemon.of(WATCH)[0]?.body.slice(5) ?? '')).toEqual({ path: '/d', recursive: true, includeEntry: true })
  await expect.poll(() => daemon.sockets.size).toBe(1)
})

test('an abort ends watching with CANCELLED, a refusal with its code', async () => {
  const { files } = await opened({
    [WATCH]: ({ reply, body }) =>
      void (body.includes('missing')
        ? reply.writeHead(200).end(endOfStream({ error: { code: 'not_found', message: 'no folder' } }))
        : reply.writeHead(200).write(messages({ start: {} }))),
  })
  const abort = new AbortController()
  const changes = files.watch('/d', {}, abort.signal)[Symbol.asyncIterator]()
  const next = changes.next()
  setTimeout(() => abort.abort(), 50)
  await expect(next).rejects.toMatchObject({ code: 'CANCELLED' })
  await expect(files.watch('/missing', {}, unaborted())[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'FILE_MISSING' })
})
