import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { lstatSync, readFileSync } from 'node:fs'
import { chown, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Sandbox, type SandboxOptions } from '../../client/index.ts'
import { Fault } from '../../wire/index.ts'
import { SpecHost } from '../walls/home.ts'

const LAUNCHES = 8
const LAUNCHES_OF_A_RARE_MOMENT = 40
const TRIES = 200_000
const SECRET = 'not for guests'

/** What somebody inside a sandbox of the folder above does: exchanges two names as fast as can be, until it is killed. */
const FLIP = `
import ctypes, sys
libc = ctypes.CDLL(None)
one, other = sys.argv[1].encode(), sys.argv[2].encode()
number = 316 if __import__('platform').machine() == 'x86_64' else 276
print('ready', flush=True)
while True: libc.syscall(number, -100, one, -100, other, 2)
`

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cai-races-'))
  await mkdir(join(folder, 'outside'))
  await writeFile(join(folder, 'outside/canary'), SECRET)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function flipping(one: string, other: string): Promise<AsyncDisposable> {
  const child: ChildProcess = spawn('/usr/bin/python3', ['-c', FLIP, one, other], { stdio: ['ignore', 'pipe', 'inherit'] })
  if (child.stdout === null) throw new Error('no pipe')
  await once(child.stdout, 'data')
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

/** Whoever looks first, and goes by the name then, is led astray. */
function isFooled(look: () => boolean, use: () => string): boolean {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    try {
      if (look() && use() === SECRET) return true
    } catch {
      // The other of the two was there.
    }
  }
  return false
}

/** What each of some sandboxes sees; of those that were refused, why. */
async function launched(options: SandboxOptions, command: string, launches = LAUNCHES): Promise<string[]> {
  const seen: string[] = []
  for (let launch = 0; launch < launches; launch += 1) {
    try {
      await using sandbox = await Sandbox.create({ network: 'none', ...options })
      seen.push((await sandbox.commands.run(['sh', '-c', command])).stdout)
    } catch (failure) {
      if (!(failure instanceof Fault)) throw failure
      seen.push(failure.code)
    }
  }
  return seen
}

describe('the folder itself turns into a link to somewhere else', () => {
  const at = () => join(folder, 'sub')
  beforeAll(async () => {
    await mkdir(at())
    await writeFile(join(at(), 'own'), 'mine')
    await symlink('outside', join(folder, 'link'))
  })

  test('without the wall: whoever has checked it is led there', async () => {
    await using _ = await flipping(at(), join(folder, 'link'))
    expect(
      isFooled(
        () => lstatSync(at()).isDirectory(),
        () => readFileSync(join(at(), 'canary'), 'utf8'),
      ),
    ).toBe(true)
  })

  test('a sandbox shows the folder that was meant, or is not made', async () => {
    await using _ = await flipping(at(), join(folder, 'link'))
    for (const seen of await launched({ profile: 'project', folder: at() }, 'ls'))
      expect(seen).toMatch(/^(own\n|BAD_REQUEST|MOUNT_UNREADABLE)$/)
  })
})

describe('a folder with a secret file is exchanged for one without', () => {
  const at = () => join(folder, 'project')
  beforeAll(async () => {
    await mkdir(join(at(), 'config'), { recursive: true })
    await mkdir(join(at(), 'decoy'))
    await writeFile(join(at(), 'config/.env'), SECRET)
    await writeFile(join(at(), 'decoy/.env'), '')
  })

  test('without the wall: what was hidden by its name is seen', async () => {
    await using _ = await flipping(join(at(), 'config'), join(at(), 'decoy'))
    const inode = lstatSync(join(at(), 'decoy')).ino
    const isDecoy = () => lstatSync(join(at(), 'decoy')).ino === inode
    expect(isFooled(isDecoy, () => readFileSync(join(at(), 'decoy/.env'), 'utf8'))).toBe(true)
  })

  test('a sandbox sees it nowhere, or is not made', async () => {
    await using _ = await flipping(join(at(), 'config'), join(at(), 'decoy'))
    for (const seen of await launched({ profile: 'project', folder: at() }, 'cat config/.env decoy/.env'))
      expect(seen).toMatch(/^(|MOUNT_UNREADABLE)$/)
  })
})

describe('a folder that is mounted beside turns into a link to Caisson’s own state', () => {
  const at = () => join(folder, 'beside')
  let host: SpecHost
  beforeAll(async () => {
    host = await SpecHost.open()
    await mkdir(at())
    await writeFile(join(at(), 'own'), 'mine')
    await symlink(host.home, join(folder, 'to-state'))
  })
  afterAll(() => host[Symbol.asyncDispose]())

  test('a sandbox whose profile hides nothing shows the folder that was judged, or is not made', async () => {
    await using _ = await flipping(at(), join(folder, 'to-state'))
    for (const seen of await launched({ mounts: [{ source: at(), target: '/work', mode: 'ro' }], door: host.door }, 'ls /work'))
      expect(seen).toMatch(/^(own\n|BAD_REQUEST|MOUNT_UNREADABLE)$/)
  })
  test('nor does it own there what the host’s root owns, whoever owns what the link leads to', async () => {
    await writeFile(join(at(), 'roots'), SECRET, { mode: 0o600 })
    await chown(at(), 12_345, 12_345)
    await using _ = await flipping(at(), join(folder, 'to-state'))
    const options: SandboxOptions = { mounts: [{ source: at(), target: '/work', mode: 'ro' }], door: host.door }
    for (const seen of await launched(options, 'cat /work/roots', LAUNCHES_OF_A_RARE_MOMENT))
      expect(seen).toMatch(/^(|BAD_REQUEST|MOUNT_UNREADABLE)$/)
  })
})

describe('a folder on the way to a mount, within another that somebody inside may write to, turns into a link out of it', () => {
  // The folder is turned without end meanwhile: a launch takes a second, and more where others work too.
  test('nothing is made, and nothing mounted, where the link leads', { timeout: 400_000 }, async () => {
    const [outer, inner, elsewhere] = ['outer', 'inner', 'elsewhere'].map((name) => join(folder, name)) as [string, string, string]
    await mkdir(join(outer, 'way/here'), { recursive: true })
    await mkdir(inner)
    await writeFile(join(inner, 'own'), 'mine')
    await mkdir(elsewhere)
    await symlink(elsewhere, join(outer, 'out'))
    await using _ = await flipping(join(outer, 'way'), join(outer, 'out'))
    const mounts: SandboxOptions['mounts'] = [
      { source: outer, target: '/work', mode: 'rw' },
      { source: inner, target: '/work/way/here', mode: 'ro' },
    ]
    const seen = await launched({ mounts }, 'grep -c " /work/" /proc/self/mounts', LAUNCHES_OF_A_RARE_MOMENT)
    for (const one of seen) expect(one).toMatch(/^(1\n|PLAN_INVALID|LAUNCH_FAILED|MOUNT_UNREADABLE)$/)
    expect(await readdir(elsewhere)).toEqual([])
  })
})
