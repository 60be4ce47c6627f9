import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Canaries } from '../../client/attacks/canaries.ts'
import { Fault, type SandboxFiles } from '../../client/index.ts'
import { shared } from './attack.ts'

const wall = shared()
// In /tmp a file of the same path can be made inside; in /home it cannot.
const canaries = new Canaries(['/tmp', '/home'])
const [inTmp, inHome] = canaries.paths as [string, string]
const PLACE = '/home/user/links'
const UP = '../'.repeat(12)

/** What somebody inside would plant: name of the link, and where it points. */
const LINKS: Record<string, string> = {
  'absolute-tmp': inTmp,
  'absolute-home': inHome,
  upwards: `${UP}${inHome.slice(1)}`,
  'through-proc': `/proc/self/root${inHome}`,
  'through-pid-1': `/proc/1/root${inHome}`,
  'through-cwd': `/proc/self/cwd/${UP}${inHome.slice(1)}`,
  chain: 'absolute-home',
}
/** The same with a folder in the middle of the path. */
const FOLDERS: Record<string, string> = {
  'folder-tmp': dirname(inTmp),
  'folder-home': dirname(inHome),
  'folder-root': '/',
  'folder-proc': '/proc/self/root',
}
const paths = [
  ...Object.keys(LINKS),
  ...Object.entries(FOLDERS).flatMap(([name, to]) =>
    to.startsWith('/tmp') || to.startsWith('/home') ? [`${name}/${basename(to === '/tmp' ? inTmp : inHome)}`] : [`${name}${inHome}`],
  ),
]

let host = ''
beforeAll(async () => {
  await canaries.plant()
  host = await mkdtemp(join(tmpdir(), 'caisson-links-'))
  await plant()
})
afterAll(async () => {
  await rm(host, { recursive: true })
  await canaries[Symbol.asyncDispose]()
})

async function plant(): Promise<void> {
  const links = Object.entries({ ...LINKS, ...FOLDERS })
  await wall.sandbox.commands.run(
    `rm -rf ${PLACE}; mkdir ${PLACE}; cd ${PLACE}; ${links.map(([name, to]) => `ln -s ${to} ${name}`).join('; ')}`,
  )
  await rm(host, { recursive: true, force: true })
  await mkdir(host)
  for (const [name, to] of links) await symlink(to, join(host, name))
}

/** A verb as a careless host would do it, on its own view of the sandbox's files, and as it is done. */
interface Verb {
  careless: (path: string) => Promise<unknown>
  ours: (files: SandboxFiles, path: string) => Promise<unknown>
}
const VERBS: Record<string, Verb> = {
  read: { careless: (path) => readFile(path, 'utf8'), ours: (files, path) => files.read(path) },
  stat: { careless: (path) => stat(path), ours: (files, path) => files.stat(path) },
  write: { careless: (path) => writeFile(path, 'changed'), ours: (files, path) => files.write(path, 'changed') },
  append: {
    careless: (path) => writeFile(path, 'changed', { flag: 'a' }),
    ours: (files, path) => files.write(path, 'changed', { append: true }),
  },
  'write with a mode': {
    careless: (path) => writeFile(path, 'changed', { mode: 0o777 }),
    ours: (files, path) => files.write(path, 'changed', { mode: 0o777 }),
  },
  'set attributes': { careless: (path) => writeFile(path, 'x'), ours: (files, path) => files.setAttributes(path, { touched: 'yes' }) },
  'list beside it': { careless: (path) => readdir(dirname(path)), ours: (files, path) => files.list(dirname(path), { depth: 2 }) },
  'make a folder below': { careless: (path) => mkdir(`${path}-new`), ours: (files, path) => files.makeDir(`${path}-new/deeper`) },
  'move to it': {
    careless: async (path) => {
      await writeFile(join(host, 'moved'), 'changed')
      await rename(join(host, 'moved'), path)
    },
    ours: async (files, path) => {
      await files.write(`${PLACE}/moved`, 'changed')
      return await files.move(`${PLACE}/moved`, path)
    },
  },
  'move it away': { careless: (path) => rename(path, `${path}-away`), ours: (files, path) => files.move(path, `${path}-away`) },
  remove: { careless: (path) => rm(path), ours: (files, path) => files.remove(path) },
  'remove what is below': { careless: (path) => unlink(path), ours: (files, path) => files.remove(`${path}/${basename(inHome)}`) },
  watch: {
    careless: (path) => stat(path),
    ours: async (files, path) => {
      const stop = new AbortController()
      const watcher = files.watch(path, { signal: stop.signal })[Symbol.asyncIterator]()
      const [next] = await Promise.all([watcher.next(), files.list('/').finally(() => stop.abort())])
      return next
    },
  },
}

describe('a link to the host', () => {
  // Verbs that act on a link itself need a folder in the middle to be led astray.
  test.each(Object.keys(VERBS))('%s: a careless host is led astray', async (name) => {
    await plant()
    const path = join(host, 'folder-home', basename(inHome))
    const before = await stat('/home', { bigint: true })
    const result = await VERBS[name]?.careless(path)
    const after = await stat('/home', { bigint: true })
    const changed = (await readFile(inHome, 'utf8').catch(() => 'gone')) !== canaries.token || before.mtimeNs !== after.mtimeNs
    expect(changed || result !== undefined).toBe(true)
    await rm(`${inHome}-away`, { force: true })
    await rm(`${inHome}-new`, { recursive: true, force: true })
    await canaries.plant()
  })

  for (const user of ['user', 'root']) {
    test.each(Object.keys(VERBS))(`%s as ${user}: stays inside`, async (name) => {
      for (const path of paths) {
        await plant()
        const files = as(wall.sandbox.files, user)
        const result = await VERBS[name]?.ours(files, `${PLACE}/${path}`).catch((error: unknown) => {
          expect(error).toBeInstanceOf(Fault)
          // INTERNAL and WIRE_VIOLATION would be faults of ours.
          expect((error as Fault).code).toMatch(/^(FILE_|NOT_FOUND|BAD_REQUEST|CANCELLED|UNSUPPORTED)/)
          return undefined
        })
        // As a name it may be seen inside, where a verb has made it; as content it may not.
        expect(JSON.stringify(result ?? '')).not.toContain(`"${canaries.token}"`)
        await canaries.check()
      }
    })
  }
})

/** The verbs, each as this user. */
function as(files: SandboxFiles, user: string): SandboxFiles {
  return new Proxy(files, {
    get: (target, name) => {
      const verb = Reflect.get(target, name) as (...parts: unknown[]) => unknown
      const places: Record<string, number> = { write: 2, move: 2, setAttributes: 2 }
      return (...parts: unknown[]) => {
        const at = places[String(name)] ?? 1
        parts[at] = { ...(parts[at] as object), user }
        return verb.apply(target, parts)
      }
    },
  })
}

describe('a link inside', () => {
  const SETUP = `rm -rf ${PLACE}; mkdir -p ${PLACE}/folder; cd ${PLACE}; echo -n inside > folder/file
    ln -s ${PLACE}/folder/file absolute; ln -s folder/file relative; ln -s ${PLACE}/folder through; ln -s ../links/folder/../folder/file dotted; ln -s absolute chain; ln -s folder/new dangling`
  const files = () => wall.sandbox.files

  beforeAll(async () => {
    await wall.sandbox.commands.run(SETUP)
  })

  test.each(['absolute', 'relative', 'through/file', 'dotted', 'chain'])(
    '%s: read, stat, write, append and attributes go through it',
    async (name) => {
      const path = `${PLACE}/${name}`
      expect(await files().read(path)).toBe('inside')
      expect(await files().stat(path, { follow: true })).toMatchObject({ kind: 'file', size: 6 })
      await files().write(path, 'changed')
      await files().write(path, '!', { append: true })
      expect(await files().read(`${PLACE}/folder/file`)).toBe('changed!')
      await files().setAttributes(path, { seen: name })
      expect((await files().stat(`${PLACE}/folder/file`)).attributes).toMatchObject({ seen: name })
      await files().write(`${PLACE}/folder/file`, 'inside')
      // Still links, after all that.
      const { stdout } = await wall.sandbox.commands.run(`find ${PLACE} -maxdepth 1 -type l | wc -l`)
      expect(stdout.trim()).toBe('6')
    },
  )

  test('a link is shown as one, with its target', async () => {
    const found = await files().list(PLACE)
    expect(found.find(({ name }) => name === 'absolute')).toMatchObject({ kind: 'symlink', symlinkTarget: `${PLACE}/folder/file` })
    expect(await files().stat(`${PLACE}/relative`, { follow: false })).toMatchObject({ kind: 'symlink', symlinkTarget: 'folder/file' })
  })

  test('list, make a folder and watch go through a folder’s link', async () => {
    expect((await files().list(`${PLACE}/through`)).map(({ name }) => name)).toEqual(['file'])
    await files().makeDir(`${PLACE}/through/made`)
    expect(await files().stat(`${PLACE}/folder/made`)).toMatchObject({ kind: 'directory' })
    const stop = new AbortController()
    const watcher = files().watch(`${PLACE}/through`, { signal: stop.signal })[Symbol.asyncIterator]()
    const next = watcher.next()
    const busy = wall.sandbox.commands.run(`for i in $(seq 100); do touch ${PLACE}/folder/seen; sleep 0.1; done`).catch(() => undefined)
    expect((await next).value).toMatchObject({ name: 'seen' })
    await watcher.return?.()
    stop.abort()
    await wall.sandbox.commands.run('pkill -f folder/seen')
    await busy
    await files().remove(`${PLACE}/folder/seen`)
    await files().remove(`${PLACE}/folder/made`)
  })

  test('writing to a dangling one makes what it points to', async () => {
    await files().write(`${PLACE}/dangling`, 'made')
    expect(await files().read(`${PLACE}/folder/new`)).toBe('made')
  })

  test('moving and removing act on the link itself', async () => {
    await files().move(`${PLACE}/absolute`, `${PLACE}/moved`)
    expect(await files().stat(`${PLACE}/moved`, { follow: false })).toMatchObject({ kind: 'symlink' })
    await files().remove(`${PLACE}/moved`)
    await files().remove(`${PLACE}/through`)
    expect(await files().read(`${PLACE}/folder/file`)).toBe('inside')
  })
})
