import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Fault, type SandboxFiles } from '../../client/index.ts'
import { shared } from './attack.ts'

const wall = shared()
const PLACE = '/home/user/kinds'
/** Only there so that a hang is seen as one. */
const PATIENCE_MS = 20_000

beforeAll(async () => {
  const script = `import os, socket
os.makedirs('${PLACE}/folder')
os.chdir('${PLACE}')
os.mkfifo('pipe')
socket.socket(socket.AF_UNIX).bind('socket')
os.symlink('pipe', 'link-to-pipe')
os.symlink('/dev/zero', 'link-to-zero')
os.symlink('/dev/stdin', 'link-to-stdin')
os.symlink('link-to-itself', 'link-to-itself')
os.symlink('/proc/self/fd/0', 'link-to-descriptor')
`
  const { exitCode, stderr } = await wall.sandbox.commands.run(['/usr/bin/python3', '-I', '-c', script])
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
})

test('without the wall, a careless reader of a pipe hangs', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'caisson-pipe-'))
  const run = promisify(execFile)
  try {
    await run('mkfifo', [join(folder, 'pipe')])
    // timeout(1) ends with 124 when it had to end the command.
    await expect(run('timeout', ['0.3', 'cat', join(folder, 'pipe')])).rejects.toMatchObject({ code: 124 })
  } finally {
    await rm(folder, { recursive: true })
  }
})

const NOT_FILES = [
  ...['pipe', 'socket', 'link-to-pipe', 'link-to-zero'].map((name) => `${PLACE}/${name}`),
  ...['/dev/zero', '/dev/null', '/dev/full', '/dev/random', '/dev/tty', '/dev/ptmx', '/dev/pts/ptmx'],
]
const signal = () => AbortSignal.timeout(PATIENCE_MS)
const VERBS: Record<string, (files: SandboxFiles, path: string, user: string) => Promise<unknown>> = {
  read: (files, path, user) => files.read(path, { user, signal: signal() }),
  'read a part': (files, path, user) => files.read(path, { user, offset: 10, length: 10, signal: signal() }),
  write: (files, path, user) => files.write(path, 'x', { user, signal: signal() }),
  append: (files, path, user) => files.write(path, 'x', { user, append: true, signal: signal() }),
  list: (files, path, user) => files.list(path, { user, signal: signal() }),
  'make a folder': (files, path, user) => files.makeDir(`${path}/below`, { user, signal: signal() }),
  'write below it': (files, path, user) => files.write(`${path}/below`, 'x', { user, signal: signal() }),
}

describe.each(Object.keys(VERBS))('%s', (name) => {
  test.each(['user', 'root'])('refuses what is no file, and does not wait for it, as %s', async (user) => {
    for (const path of NOT_FILES) {
      const fault = await VERBS[name]?.(wall.sandbox.files, path, user).then(
        () => new Error(`${name} ${path} succeeded`),
        (error: unknown) => error,
      )
      expect(fault, path).toBeInstanceOf(Fault)
      // Some are closed to the user before anybody looks at what they are.
      expect(`${path} ${(fault as Fault).code}`).toMatch(/ (FILE_KIND|FILE_DENIED)$/)
      if (path.startsWith(PLACE)) expect(`${path} ${(fault as Fault).code}`).toBe(`${path} FILE_KIND`)
    }
  })
})

describe('what works on them', () => {
  test('they are shown for what they are', async () => {
    for (const path of [`${PLACE}/pipe`, `${PLACE}/socket`, '/dev/zero', '/dev/ptmx']) {
      expect(await wall.sandbox.files.stat(path, { follow: true, signal: signal() })).toMatchObject({ kind: 'other' })
    }
    const found = await wall.sandbox.files.list(PLACE)
    expect(Object.fromEntries(found.map(({ name, kind }) => [name, kind]))).toMatchObject({
      pipe: 'other',
      socket: 'other',
      folder: 'directory',
      'link-to-pipe': 'symlink',
    })
  })

  test('attributes are refused, or set, without opening what waits', async () => {
    const result = await wall.sandbox.files
      .setAttributes(`${PLACE}/pipe`, { a: 'b' }, { signal: signal() })
      .catch((error: Fault) => error.code)
    expect(['FILE_KIND', 'FILE_DENIED']).toContain(result)
  })

  test('a watch of one neither hangs nor opens it', async () => {
    const stop = new AbortController()
    const watcher = wall.sandbox.files.watch(`${PLACE}/pipe`, { signal: stop.signal })[Symbol.asyncIterator]()
    const [next] = await Promise.all([
      watcher.next().catch((error: unknown) => error),
      wall.sandbox.files.stat(PLACE, { signal: signal() }).finally(() => stop.abort()),
    ])
    expect(next).toBeInstanceOf(Fault)
    expect(['CANCELLED', 'FILE_KIND']).toContain((next as Fault).code)
  })

  test('they can be moved and removed', async () => {
    await wall.sandbox.files.move(`${PLACE}/pipe`, `${PLACE}/moved`, { signal: signal() })
    await wall.sandbox.files.remove(`${PLACE}/moved`, { signal: signal() })
    expect(await wall.sandbox.files.exists(`${PLACE}/moved`)).toBe(false)
  })
})

describe('paths that are no paths', () => {
  const cases: Record<string, [string, RegExp]> = {
    empty: ['', /^BAD_REQUEST$/],
    'with a NUL': ['/home/user/a\0b', /^BAD_REQUEST$/],
    'with a name of 300 bytes': [`/home/user/${'x'.repeat(300)}`, /^(BAD_REQUEST|FILE_MISSING)$/],
    'of 100,000 bytes': [`/home/user/${'x/'.repeat(50_000)}`, /^BAD_REQUEST$/],
    'a link to itself': [`${PLACE}/link-to-itself`, /^(BAD_REQUEST|FILE_KIND|FILE_MISSING)$/],
    'above the root': [`/${'../'.repeat(100)}etc/shadow`, /^FILE_(MISSING|DENIED)$/],
    'a descriptor of the agent': ['/proc/self/fd/3', /^FILE_(KIND|DENIED|MISSING)$/],
    'a descriptor of PID 1': ['/proc/1/fd/4', /^FILE_(KIND|DENIED|MISSING)$/],
    'the leash by a link': [`${PLACE}/link-to-descriptor`, /^FILE_(KIND|DENIED|MISSING)$/],
  }
  test.each(Object.entries(cases))('%s', async (_, [path, code]) => {
    for (const verb of [VERBS['read'], VERBS['append']]) {
      const fault = await verb?.(wall.sandbox.files, path, 'user').then(
        () => new Error('it succeeded'),
        (error: unknown) => error,
      )
      expect(fault).toBeInstanceOf(Fault)
      expect((fault as Fault).code).toMatch(verb === VERBS['read'] ? code : /^(BAD_REQUEST|FILE_)/)
    }
  })

  test('.. goes up inside, and no further', async () => {
    const name = await wall.sandbox.files.read(`/home/user/${'../'.repeat(50)}etc/hostname`)
    expect(name.trim()).toBe(wall.sandbox.id)
  })

  test('the memory of the agent cannot be written, nor its program', async () => {
    for (const path of [
      '/proc/self/mem',
      '/proc/1/mem',
      '/proc/self/exe',
      '/proc/1/exe',
      '/caisson/agent',
      '/proc/self/oom_score_adj',
      '/proc/sys/kernel/hostname',
    ]) {
      for (const [options, user] of [
        [{}, 'user'],
        [{ append: true }, 'user'],
        [{ append: true }, 'root'],
        [{}, 'root'],
      ] as const) {
        const attempt = wall.sandbox.files.write(path, 'x', { ...options, user, signal: signal() })
        await expect(attempt, `${path} ${JSON.stringify(options)} ${user}`).rejects.toBeInstanceOf(Fault)
      }
    }
    const { stdout } = await wall.sandbox.commands.run(['/usr/bin/echo', 'alive'])
    expect(stdout).toBe('alive\n')
  })
})

afterAll(async () => {
  await wall.sandbox.files.remove(PLACE)
})
