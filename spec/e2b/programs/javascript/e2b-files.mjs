import assert from 'node:assert/strict'
import { FileNotFoundError, FileType, InvalidArgumentError, Sandbox } from 'e2b'
import { finish, step } from './steps.mjs'

const sandbox = await Sandbox.create({ timeoutMs: 120_000 })
const { files, commands } = sandbox

await step('write and read text; the answer says where it is', async () => {
  const { path, name, type, metadata } = await files.write('a.txt', 'hello')
  assert.deepEqual([path, name, type, metadata], ['/home/user/a.txt', 'a.txt', 'file', undefined])
  assert.equal(await files.read('a.txt'), 'hello')
  await files.write('a.txt', 'shorter')
  assert.equal(await files.read('/home/user/a.txt'), 'shorter')
  assert.equal(await files.read('~/a.txt'), 'shorter')
})

await step('names with spaces, quotes and other alphabets', async () => {
  for (const name of ['with space.txt', 'quo"te\'s.txt', 'żółć-猫-🦀.txt', 'per%20cent+plus&and.txt', 'deep/er/still.txt']) {
    await files.write(name, name)
    assert.equal(await files.read(name), name)
    assert.equal((await files.getInfo(name)).path, `/home/user/${name}`)
  }
})

await step('every kind of data in: string, buffer, blob, stream', async () => {
  const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256)
  const same = async (path) => assert.deepEqual(Buffer.from(await files.read(path, { format: 'bytes' })), Buffer.from(bytes))
  await files.write('kinds/buffer', bytes.buffer)
  await same('kinds/buffer')
  await files.write('kinds/blob', new Blob([bytes]))
  await same('kinds/blob')
  await files.write('kinds/stream', new Blob([bytes]).stream())
  await same('kinds/stream')
  await files.write('kinds/octet', new Blob([bytes]), { useOctetStream: true })
  await same('kinds/octet')
  await files.write('kinds/zipped', new Blob([bytes]), { gzip: true })
  await same('kinds/zipped')
})

await step('every kind of data out: text, bytes, blob, stream; plain and zipped', async () => {
  const text = 'naïve café '.repeat(2000)
  await files.write('out.txt', text)
  for (const gzip of [false, true]) {
    assert.equal(await files.read('out.txt', { gzip }), text)
    assert.equal(Buffer.from(await files.read('out.txt', { format: 'bytes', gzip })).toString(), text)
    assert.equal(await (await files.read('out.txt', { format: 'blob', gzip })).text(), text)
    assert.equal(await new Response(await files.read('out.txt', { format: 'stream', gzip })).text(), text)
  }
})

await step('an empty file, read in every way', async () => {
  await files.write('empty', '')
  assert.equal(await files.read('empty'), '')
  assert.equal((await files.read('empty', { format: 'bytes' })).length, 0)
  assert.equal((await files.read('empty', { format: 'blob' })).size, 0)
  assert.equal(await new Response(await files.read('empty', { format: 'stream' })).text(), '')
  assert.equal((await files.getInfo('empty')).size, 0)
})

await step('several files in one call, in the order given; none at all', async () => {
  const many = Array.from({ length: 12 }, (_, index) => ({ path: `many/${index}.txt`, data: `number ${index}` }))
  const written = await files.write(many)
  assert.deepEqual(
    written.map((one) => one.path),
    many.map((one) => `/home/user/${one.path}`),
  )
  for (const { path, data } of many) assert.equal(await files.read(path), data)
  assert.deepEqual(await files.write([]), [])
  const mixed = await files.write([
    { path: '/tmp/mixed-1', data: 'text' },
    { path: 'mixed-2', data: new Blob(['blob']) },
    { path: 'mixed-3', data: new Blob(['stream']).stream() },
  ])
  assert.deepEqual(
    mixed.map((one) => one.name),
    ['mixed-1', 'mixed-2', 'mixed-3'],
  )
  assert.equal(await files.read('mixed-3'), 'stream')
})

await step('thirty-two megabytes, up and down, as a stream', async () => {
  const piece = new Uint8Array(1 << 20).map((_, index) => (index * 31) % 251)
  let left = 32
  const source = new ReadableStream({
    pull(controller) {
      if (left === 0) return controller.close()
      left -= 1
      controller.enqueue(piece)
    },
  })
  await files.write('big.bin', source)
  assert.equal((await files.getInfo('big.bin')).size, 32 << 20)
  let total = 0
  for await (const chunk of await files.read('big.bin', { format: 'stream' })) {
    assert.equal(chunk[0], piece[total % piece.length])
    total += chunk.length
  }
  assert.equal(total, 32 << 20)
})

await step('what a file is: kind, size, mode, owner, time', async () => {
  await files.write('info.txt', 'test')
  const info = await files.getInfo('info.txt')
  assert.equal(info.name, 'info.txt')
  assert.equal(info.type, FileType.FILE)
  assert.equal(info.path, '/home/user/info.txt')
  assert.equal(info.size, 4)
  assert.equal(info.mode, 0o644)
  assert.equal(info.permissions, '-rw-r--r--')
  assert.deepEqual([info.owner, info.group], ['user', 'user'])
  assert.ok(Math.abs(Date.now() - info.modifiedTime.getTime()) < 600_000)
  assert.equal(info.symlinkTarget, undefined)
  await files.makeDir('info.dir')
  const folder = await files.getInfo('info.dir')
  assert.deepEqual([folder.type, folder.permissions, folder.mode], [FileType.DIR, 'drwxr-xr-x', 0o755])
  assert.ok(folder.size > 0)
  await commands.run('ln -s info.txt link.txt && ln -s /nowhere broken.txt')
  const link = await files.getInfo('link.txt')
  assert.equal(link.symlinkTarget, '/home/user/info.txt')
  assert.equal(await files.read('link.txt'), 'test')
  await assert.rejects(files.getInfo('not-there'), FileNotFoundError)
})

await step('list: by depth, in order, whatever the path looks like', async () => {
  await commands.run('mkdir -p tree/b/c && touch tree/a tree/b/one tree/b/c/two tree/z')
  const paths = async (depth, path = 'tree') => (await files.list(path, { depth })).map((entry) => entry.path.replace('/home/user/', ''))
  assert.deepEqual(await paths(1), ['tree/a', 'tree/b', 'tree/z'])
  assert.deepEqual(await paths(2), ['tree/a', 'tree/b', 'tree/b/c', 'tree/b/one', 'tree/z'])
  assert.deepEqual(await paths(3), ['tree/a', 'tree/b', 'tree/b/c', 'tree/b/c/two', 'tree/b/one', 'tree/z'])
  assert.deepEqual(await paths(undefined, '/home/user/tree'), ['tree/a', 'tree/b', 'tree/z'])
  await assert.rejects(files.list('tree', { depth: 0 }), InvalidArgumentError)
  await assert.rejects(files.list('not-there'), FileNotFoundError)
  await assert.rejects(files.list('tree/a'))
})

await step('make a folder: new, again, over a file', async () => {
  assert.equal(await files.makeDir('new/nested/folder'), true)
  assert.equal(await files.makeDir('new/nested/folder'), false)
  assert.equal((await files.getInfo('new/nested')).owner, 'user')
  await assert.rejects(files.makeDir('info.txt'))
})

await step('rename: a file, a folder, into a folder that is not there yet; what is missing', async () => {
  await files.write('old.txt', 'content')
  const moved = await files.rename('old.txt', 'somewhere/new.txt')
  assert.equal(moved.path, '/home/user/somewhere/new.txt')
  assert.equal(moved.name, 'new.txt')
  assert.equal(await files.exists('old.txt'), false)
  assert.equal(await files.read('somewhere/new.txt'), 'content')
  await files.rename('somewhere', 'elsewhere')
  assert.equal(await files.read('elsewhere/new.txt'), 'content')
  await assert.rejects(files.rename('not-there', 'x'), FileNotFoundError)
})

await step('remove: a file, a full folder, and what is not there', async () => {
  await files.write('gone.txt', 'x')
  await files.remove('gone.txt')
  assert.equal(await files.exists('gone.txt'), false)
  await files.write('full/of/things', 'x')
  await files.remove('full')
  assert.equal(await files.exists('full'), false)
  await files.remove('was-never-there')
})

await step('exists: files, folders, and neither', async () => {
  assert.deepEqual(await Promise.all(['info.txt', 'info.dir', '/etc/passwd', 'nope', '/proc/self'].map((path) => files.exists(path))), [
    true,
    true,
    true,
    false,
    true,
  ])
})

await step('what cannot be read says so', async () => {
  await assert.rejects(files.read('not-there.txt'), FileNotFoundError)
  await assert.rejects(files.read('not-there.txt', { format: 'stream' }), FileNotFoundError)
  await assert.rejects(files.read('info.dir'))
  await assert.rejects(files.write('info.txt/below-a-file', 'x'))
  await assert.rejects(files.read('/etc/shadow'))
})

await step('files of the kernel, whose size is not known before, are read whole', async () => {
  assert.match(await files.read('/proc/self/status'), /^Name:/)
  assert.match(await files.read('/proc/sys/kernel/random/boot_id'), /^[0-9a-f-]{36}\n$/)
})

await step('as root: relative to its home, owned by it, and read by it', async () => {
  const written = await files.write('mine.txt', 'secret', { user: 'root' })
  assert.equal(written.path, '/root/mine.txt')
  assert.equal((await files.getInfo('/root/mine.txt', { user: 'root' })).owner, 'root')
  assert.equal(await files.read('mine.txt', { user: 'root' }), 'secret')
  await assert.rejects(files.write('x.txt', 'x', { user: 'nobody-here' }))
})

await step("where the user may not write: made by root, and the user's", async () => {
  await files.write([
    { path: '/0/first.txt', data: 'first' },
    { path: '/opt/second.txt', data: 'second' },
  ])
  await files.makeDir('/app/src')
  for (const path of ['/0', '/0/first.txt', '/opt/second.txt', '/app', '/app/src']) assert.equal((await files.getInfo(path)).owner, 'user')
})

await step('metadata: kept, listed, replaced as a whole, carried along by a rename', async () => {
  const written = await files.write('tagged.txt', 'x', { metadata: { Author: 'me', kind: 'note one' } })
  assert.deepEqual(written.metadata, { author: 'me', kind: 'note one' })
  assert.deepEqual((await files.getInfo('tagged.txt')).metadata, { author: 'me', kind: 'note one' })
  const listed = (await files.list('.')).find((entry) => entry.name === 'tagged.txt')
  assert.deepEqual(listed.metadata, { author: 'me', kind: 'note one' })
  const moved = await files.rename('tagged.txt', 'tagged-2.txt')
  assert.deepEqual(moved.metadata, { author: 'me', kind: 'note one' })
  await files.write('tagged-2.txt', 'y', { metadata: { other: '1' } })
  assert.deepEqual((await files.getInfo('tagged-2.txt')).metadata, { other: '1' })
  await files.write('tagged-2.txt', 'z')
  assert.equal((await files.getInfo('tagged-2.txt')).metadata, undefined)
  await commands.run("python3 -c \"import os; os.setxattr('tagged-2.txt', 'user.e2b.byhand', b'yes')\"")
  assert.deepEqual((await files.getInfo('tagged-2.txt')).metadata, { byhand: 'yes' })
})

await sandbox.kill()
finish()
