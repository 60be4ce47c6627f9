import { type ChildProcess, spawn } from 'node:child_process'
import { lstat, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Canaries } from '../../client/attacks/canaries.ts'
import { Fault, type RunningCommand } from '../../client/index.ts'
import { shared } from './attack.ts'

const wall = shared()
const canaries = new Canaries(['/srv', '/tmp'])
const PLACE = '/home/user/race'
const ROUNDS = 60

/** Swaps what `folder` is, between a folder with files and a link to `to`, as fast as it can, without a moment where it is neither. */
const SWAPPER = `
import ctypes, os, sys
place, to = sys.argv[1:]
os.makedirs(place + '/folder', exist_ok=True)
os.symlink(to, place + '/other')
libc = ctypes.CDLL(None)
one, two = (place + '/folder').encode(), (place + '/other').encode()
print('swapping', flush=True)
while True:
    libc.renameat2(-100, one, -100, two, 2)
`

let host = ''
beforeAll(async () => {
  await canaries.plant()
  host = await mkdtemp(join(tmpdir(), 'caisson-race-'))
})
afterAll(async () => {
  await rm(host, { recursive: true })
  await canaries[Symbol.asyncDispose]()
})

test('a careless host that looks before it opens is led astray', async () => {
  const place = join(host, 'race')
  await mkdir(join(place, 'folder'), { recursive: true })
  await writeFile(join(place, 'folder', basename(canaries.path)), 'inside')
  const swapper: ChildProcess = spawn('/usr/bin/python3', ['-I', '-c', SWAPPER, place, dirname(canaries.path)], { stdio: 'ignore' })
  try {
    let found = ''
    for (let round = 0; round < 100_000 && found !== canaries.token; round += 1) {
      const folder = join(place, 'folder')
      if ((await lstat(folder)).isSymbolicLink()) continue
      found = await readFile(join(folder, basename(canaries.path)), 'utf8')
    }
    expect(found).toBe(canaries.token)
  } finally {
    swapper.kill('SIGKILL')
  }
})

describe('a link that is swapped during the call', () => {
  let swapper: RunningCommand
  const name = basename(canaries.path)

  beforeAll(async () => {
    const { sandbox } = wall
    await sandbox.files.makeDir(`${PLACE}/folder`)
    await sandbox.files.write(`${PLACE}/folder/${name}`, 'inside')
    swapper = await sandbox.commands.start(['/usr/bin/python3', '-I', '-c', SWAPPER, PLACE, dirname(canaries.path)])
  })
  afterAll(async () => {
    await swapper.kill()
  })

  const verbs: Record<string, (round: number) => Promise<unknown>> = {
    read: () => wall.sandbox.files.read(`${PLACE}/folder/${name}`),
    write: () => wall.sandbox.files.write(`${PLACE}/folder/${name}`, 'inside'),
    append: () => wall.sandbox.files.write(`${PLACE}/folder/${name}-more`, 'x', { append: true }),
    stat: () => wall.sandbox.files.stat(`${PLACE}/folder/${name}`),
    list: () => wall.sandbox.files.list(`${PLACE}/folder`, { depth: 3 }),
    'make a folder': (round) => wall.sandbox.files.makeDir(`${PLACE}/folder/made-${round}/deeper`),
    'set attributes': () => wall.sandbox.files.setAttributes(`${PLACE}/folder/${name}`, { a: 'b' }),
    move: (round) => wall.sandbox.files.move(`${PLACE}/folder/${name}`, `${PLACE}/folder/moved-${round}`),
    remove: (round) => wall.sandbox.files.remove(`${PLACE}/folder/made-${round}`),
  }
  test.each(Object.keys(verbs))('%s stays inside', async (verb) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const result = await verbs[verb]?.(round).catch((error: unknown) => {
        expect(error).toBeInstanceOf(Fault)
        expect((error as Fault).code).toMatch(/^(FILE_|NOT_FOUND|BAD_REQUEST)/)
        return ''
      })
      if (verb === 'read') expect(['', 'inside']).toContain(result)
    }
    await canaries.check()
  })

  test('a tree that changes while it is removed is removed, and nothing else', async () => {
    await wall.sandbox.files.write('/home/user/kept/file', 'kept')
    const swap = `mkdir -p /tmp/tree/a/b; cd /tmp/tree; while :; do ln -sfn /home/user/kept a/link; mkdir -p a/c; mv -T a/c a/d 2>/dev/null; rm -rf a/link; ln -sfn /home/user/kept a/d/e; done 2>/dev/null`
    const busy = await wall.sandbox.commands.start(swap)
    for (let round = 0; round < ROUNDS; round += 1) {
      await wall.sandbox.files.remove('/tmp/tree/a').catch((error: unknown) => expect((error as Fault).code).toMatch(/^FILE_/))
    }
    await busy.kill()
    expect(await wall.sandbox.files.read('/home/user/kept/file')).toBe('kept')
  })
})
