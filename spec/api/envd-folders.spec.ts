import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { basic, EnvdSandbox, type Envelope } from './envd-sandbox.ts'

let sandbox: EnvdSandbox
beforeAll(async () => {
  sandbox = await EnvdSandbox.open()
})
afterAll(() => sandbox[Symbol.asyncDispose]())

const rpc = (method: string, body: unknown, headers?: Record<string, string>) =>
  sandbox.rpc(`filesystem.Filesystem/${method}`, body, headers)

async function write(path: string, content: string, query = '') {
  const init = { method: 'POST', body: content, headers: { 'content-type': 'application/octet-stream' } }
  expect((await sandbox.fetch(`/files?path=${encodeURIComponent(path)}${query}`, init)).status).toBe(200)
}

describe('entries', () => {
  test('a file and a folder in all their parts', async () => {
    await write('whole.txt', 'text')
    const { status, json } = await rpc('Stat', { path: '~/whole.txt' })
    expect(status).toBe(200)
    expect(json.entry).toMatchObject({
      ...{ name: 'whole.txt', type: 'FILE_TYPE_FILE', path: '/home/user/whole.txt', size: '4', mode: 0o644 },
      ...{ permissions: '-rw-r--r--', owner: 'user', group: 'user' },
    })
    expect(Math.abs(Date.now() - Date.parse(json.entry.modifiedTime))).toBeLessThan(60_000)
    expect(json.entry).not.toHaveProperty('symlinkTarget')
    const folder = (await rpc('Stat', { path: '/tmp' })).json.entry
    expect(folder).toMatchObject({ type: 'FILE_TYPE_DIRECTORY', permissions: 'dtrwxrwxrwx', mode: 0o777, owner: 'root' })
    expect(Number(folder.size)).toBeGreaterThan(0)
  })

  test('a link shows what it leads to, whole', async () => {
    await sandbox.run(
      'mkdir -p links/deep; echo x > links/deep/file; cd links; ln -s deep/file link; ln -s deep folder; ln -s nothing dead',
    )
    const entry = async (path: string) => (await rpc('Stat', { path })).json.entry
    expect(await entry('links/link')).toMatchObject({ type: 'FILE_TYPE_FILE', symlinkTarget: '/home/user/links/deep/file', mode: 0o644 })
    expect(await entry('links/folder')).toMatchObject({ type: 'FILE_TYPE_DIRECTORY', symlinkTarget: '/home/user/links/deep' })
    const dead = await entry('links/dead')
    expect(dead).toMatchObject({ name: 'dead', type: 'FILE_TYPE_SYMLINK', symlinkTarget: '/home/user/links/nothing' })
    // To Caisson's own clients a link is a link.
    const own = await rpc('Stat', { path: 'links/link' }, { 'caisson-client': '1' })
    expect(own.json.entry).toMatchObject({ type: 'FILE_TYPE_SYMLINK', symlinkTarget: 'deep/file' })
    const followed = await rpc('Stat', { path: 'links/link', follow: true }, { 'caisson-client': '1' })
    expect(followed.json.entry).toMatchObject({ type: 'FILE_TYPE_FILE' })
  })

  test('what is not there is not found', async () => {
    const { status, json } = await rpc('Stat', { path: 'nope' })
    expect([status, json.code]).toEqual([404, 'not_found'])
  })

  test('a user that is not there is nobody', async () => {
    const unknown = { status: 401, json: { code: 'unauthenticated', message: "invalid username: 'ghost'" } }
    expect(await rpc('Stat', { path: '.' }, basic('ghost'))).toMatchObject(unknown)
    expect((await rpc('Stat', { path: '' }, basic('root'))).json.entry.path).toBe('/root')
  })
})

describe('folders', () => {
  test('are listed each before what is in it, names in order, links not entered', async () => {
    await sandbox.run(
      'mkdir -p tree/sub1/one tree/sub2; touch tree/file tree/sub1/one/deep tree/sub2/x; ln -s sub1 tree/link; ln -s tree to-tree',
    )
    const list = async (path: string, depth?: number) => {
      const { json } = await rpc('ListDir', { path, depth })
      return json.entries.map((entry: { path: string }) => entry.path.replace(/^\/home\/user\//, ''))
    }
    const top = ['tree/file', 'tree/link', 'tree/sub1', 'tree/sub2']
    expect(await list('tree')).toEqual(top)
    expect(await list('tree', 0)).toEqual(top)
    const all = ['tree/file', 'tree/link', 'tree/sub1', 'tree/sub1/one', 'tree/sub1/one/deep', 'tree/sub2', 'tree/sub2/x']
    expect(await list('tree', 2)).toEqual(all.filter((path) => !path.endsWith('deep')))
    expect(await list('/home/user/tree', 10)).toEqual(all)
    expect(await list('to-tree', 1)).toEqual(top.map((path) => `to-${path}`))
  })

  test('an empty one has nothing; a file is none; what is not there is not found', async () => {
    await rpc('MakeDir', { path: 'empty' })
    expect((await rpc('ListDir', { path: 'empty' })).json).toEqual({})
    await write('a-file', 'x')
    expect((await rpc('ListDir', { path: 'a-file' })).json.code).toBe('invalid_argument')
    expect((await rpc('ListDir', { path: 'nowhere' })).json.code).toBe('not_found')
  })

  test('are made with those above them, once', async () => {
    const made = await rpc('MakeDir', { path: 'made/of/many' })
    expect(made.json.entry).toMatchObject({
      name: 'many',
      path: '/home/user/made/of/many',
      type: 'FILE_TYPE_DIRECTORY',
      owner: 'user',
      mode: 0o755,
    })
    expect(await rpc('MakeDir', { path: 'made/of/many' })).toMatchObject({ status: 409, json: { code: 'already_exists' } })
    await write('made/file', 'x')
    expect(await rpc('MakeDir', { path: 'made/file' })).toMatchObject({ status: 400, json: { code: 'invalid_argument' } })
    expect(await rpc('MakeDir', { path: 'made/file/below' })).toMatchObject({ status: 400, json: { code: 'invalid_argument' } })
    expect((await rpc('MakeDir', { path: 'of-root' }, basic('root'))).json.entry).toMatchObject({ path: '/root/of-root', owner: 'root' })
  })

  test("are made by root where the user's rights do not reach, and are the user's; our own clients are told instead", async () => {
    expect((await rpc('MakeDir', { path: '/app/src' })).json.entry).toMatchObject({ path: '/app/src', owner: 'user', mode: 0o755 })
    expect((await rpc('Stat', { path: '/app' })).json.entry).toMatchObject({ owner: 'user', group: 'user' })
    expect((await rpc('MakeDir', { path: '/of-root' }, basic('root'))).json.entry).toMatchObject({ owner: 'root' })
    expect((await rpc('MakeDir', { path: '/of-root/below' })).json.entry).toMatchObject({ owner: 'user' })
    expect((await rpc('Stat', { path: '/of-root' })).json.entry).toMatchObject({ owner: 'root' })
    expect((await rpc('MakeDir', { path: '/root/mine' }, { 'caisson-client': '1' })).json.code).toBe('permission_denied')
  })

  test('move with what is in them', async () => {
    await sandbox.run('mkdir -p moving/in; echo x > moving/in/file')
    const moved = await rpc('Move', { source: 'moving', destination: 'new/place' })
    expect(moved.json.entry).toMatchObject({ name: 'place', path: '/home/user/new/place', type: 'FILE_TYPE_DIRECTORY' })
    expect((await rpc('Stat', { path: 'new/place/in/file' })).status).toBe(200)
    expect(await rpc('Move', { source: 'moving', destination: 'x' })).toMatchObject({ status: 404, json: { code: 'not_found' } })
    // From one disk to another.
    expect((await rpc('Move', { source: 'new/place', destination: '/tmp/place' })).json.entry.path).toBe('/tmp/place')
    expect((await sandbox.run('cat /tmp/place/in/file')).stdout).toBe('x\n')
  })

  test('are removed with what is in them; what is not there is removed', async () => {
    await sandbox.run('mkdir -p gone/deep; touch gone/deep/file; ln -s /etc gone/link')
    expect(await rpc('Remove', { path: 'gone' })).toMatchObject({ status: 200, json: {} })
    expect((await rpc('Stat', { path: 'gone' })).status).toBe(404)
    expect((await rpc('Remove', { path: 'gone' })).status).toBe(200)
    expect((await rpc('Stat', { path: '/etc/passwd' })).status).toBe(200)
    // Not the home, for want of a path.
    expect(await rpc('Remove', {})).toMatchObject({ status: 400, json: { code: 'invalid_argument' } })
    expect((await rpc('Stat', { path: 'whole.txt' })).status).toBe(200)
  })
})

describe('watching', () => {
  type Change = { name: string; type: string; entry?: { path: string; size: string } }

  async function watch(body: Record<string, unknown>, headers: Record<string, string> = {}) {
    const gone = new AbortController()
    const events = sandbox.stream('filesystem.Filesystem/WatchDir', body, headers, gone.signal)
    const first = (await events.next()).value as Envelope
    const seen: Change[] = []
    const until = async (type: string, name: string): Promise<Change> => {
      for (;;) {
        const next = await events.next()
        if (next.done === true || next.value.flags === 2) throw new Error(`ended: ${JSON.stringify(next.value)}`)
        const change = next.value.json.filesystem as Change | undefined
        if (change !== undefined) seen.push(change)
        if (change?.type === `EVENT_TYPE_${type}` && change.name === name) return change
      }
    }
    return { first, until, seen, leave: () => gone.abort() }
  }

  test('an upload is seen as what it is', async () => {
    await write('watched/old', 'old')
    const { first, until, seen, leave } = await watch({ path: 'watched' })
    expect(first.json).toEqual({ start: {} })
    await write('watched/old', 'new')
    await until('WRITE', 'old')
    await write('watched/young', 'x')
    await until('WRITE', 'young')
    await rpc('Move', { source: 'watched/young', destination: 'watched/renamed' })
    await until('CREATE', 'renamed')
    await rpc('Remove', { path: 'watched/renamed' })
    await until('REMOVE', 'renamed')
    expect(seen.map(({ type, name }) => `${type.slice('EVENT_TYPE_'.length)} ${name}`)).toEqual([
      'WRITE old',
      'CREATE young',
      // E2B's own suites count three.
      'CHMOD young',
      'WRITE young',
      'RENAME young',
      'CREATE renamed',
      'REMOVE renamed',
    ])
    leave()
  })

  test('folders made later are watched too, when asked', async () => {
    await rpc('MakeDir', { path: 'deep' })
    const { until, leave } = await watch({ path: 'deep', recursive: true, includeEntry: true })
    await rpc('MakeDir', { path: 'deep/nested' })
    expect((await until('CREATE', 'nested')).entry).toMatchObject({ path: '/home/user/deep/nested' })
    await write('deep/nested/file.txt', 'four')
    expect((await until('WRITE', 'nested/file.txt')).entry).toMatchObject({ path: '/home/user/deep/nested/file.txt', size: '4' })
    await rpc('Remove', { path: 'deep/nested/file.txt' })
    expect(await until('REMOVE', 'nested/file.txt')).not.toHaveProperty('entry')
    leave()
  })

  test('only folders that are there, and of this machine', async () => {
    const refused = async (body: Record<string, unknown>) => {
      for await (const { flags, json } of sandbox.stream('filesystem.Filesystem/WatchDir', body)) if (flags === 2) return json.error.code
    }
    expect(await refused({ path: 'not-there' })).toBe('not_found')
    expect(await refused({ path: 'whole.txt' })).toBe('invalid_argument')
    const allowed = await watch({ path: '/tmp', allowNetworkMounts: true })
    expect(allowed.first.json).toEqual({ start: {} })
    allowed.leave()
  })

  test('a quiet one says now and then that it is there', async () => {
    const events = sandbox.stream('filesystem.Filesystem/WatchDir', { path: '/tmp' }, { 'keepalive-ping-interval': '1' })
    await events.next()
    expect((await events.next()).value?.json).toEqual({ keepalive: {} })
    await events.return(undefined)
  })

  test('for those who ask from time to time', async () => {
    await rpc('MakeDir', { path: 'polled' })
    const { json } = await rpc('CreateWatcher', { path: 'polled', recursive: true })
    const { watcherId } = json
    expect(watcherId).toMatch(/^w\w+$/)
    expect((await rpc('GetWatcherEvents', { watcherId })).json).toEqual({})
    await write('polled/sub/file', 'x')
    const seen: string[] = []
    while (!seen.includes('EVENT_TYPE_CREATE sub/file')) {
      const { events = [] } = (await rpc('GetWatcherEvents', { watcherId })).json
      seen.push(...events.map(({ type, name }: Change) => `${type} ${name}`))
    }
    expect(seen[0]).toBe('EVENT_TYPE_CREATE sub')
    expect((await rpc('RemoveWatcher', { watcherId })).json).toEqual({})
    expect(await rpc('GetWatcherEvents', { watcherId })).toMatchObject({ status: 404, json: { code: 'not_found' } })
    expect(await rpc('RemoveWatcher', { watcherId })).toMatchObject({ status: 404 })
    expect((await rpc('CreateWatcher', { path: 'not-there' })).json.code).toBe('not_found')
  })

  test('there are only so many of them, and a removed one makes room', async () => {
    const ids: string[] = []
    for (;;) {
      const { status, json } = await rpc('CreateWatcher', { path: '/tmp' })
      if (status !== 200) {
        expect([status, json.code]).toEqual([429, 'resource_exhausted'])
        break
      }
      ids.push(json.watcherId)
    }
    expect(ids.length).toBeGreaterThan(30)
    for (const watcherId of ids) expect((await rpc('RemoveWatcher', { watcherId })).status).toBe(200)
    expect((await rpc('CreateWatcher', { path: '/tmp' })).status).toBe(200)
  })

  test('a flood that nobody asks about is told as one', async () => {
    await rpc('MakeDir', { path: 'flooded' })
    const { watcherId } = (await rpc('CreateWatcher', { path: 'flooded' })).json
    await sandbox.run('cd flooded; seq 12000 | xargs touch')
    let taken = 0
    for (;;) {
      const { status, json } = await rpc('GetWatcherEvents', { watcherId })
      if (status !== 200) {
        expect(json.code).toBe('data_loss')
        break
      }
      taken += json.events?.length ?? 0
    }
    expect(taken).toBeLessThanOrEqual(12_000 * 3)
  })

  test('what waits in all watchers of a sandbox together is bounded, however long the names are', async () => {
    await rpc('MakeDir', { path: 'long' })
    const ids: string[] = []
    for (let made = 0; made < 40; made += 1) ids.push((await rpc('CreateWatcher', { path: 'long' })).json.watcherId)
    await sandbox.run('cd long; for i in $(seq 400); do printf -v name %0250d "$i"; : > "$name"; done')
    const drain = async (watcherId: string) => {
      const { status, json } = await rpc('GetWatcherEvents', { watcherId })
      const names: string[] = (json.events ?? []).map(({ name }: { name: string }) => name)
      return { isLost: status !== 200, characters: names.join('').length }
    }
    // The others, which nobody asks, take all the room.
    const [first = '', ...others] = ids
    await expect.poll(async () => (await drain(first)).isLost, { timeout: 30_000 }).toBe(true)
    let characters = 0
    for (const id of others) characters += (await drain(id)).characters
    expect(characters).toBeGreaterThan(0)
    expect(characters).toBeLessThan(4 * 1024 * 1024)
    await expect.poll(async () => (await Promise.all(ids.map(drain))).some(({ isLost }) => isLost), { timeout: 30_000 }).toBe(false)
    await sandbox.run('touch long/last')
    await expect.poll(async () => (await drain(first)).characters, { timeout: 30_000 }).toBeGreaterThan(0)
    for (const watcherId of ids) await rpc('RemoveWatcher', { watcherId })
  })
})
