import { createHash } from 'node:crypto'
import { chmod, copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect } from 'vitest'
import { attack, python, shared } from './attack.ts'

const wall = shared()
const AGENT = fileURLToPath(new URL('../../native/bin/caisson-agent', import.meta.url))
const sum = async () =>
  createHash('sha256')
    .update(await readFile(AGENT))
    .digest('hex')
/** A copy that may come to harm, without the wall. */
let folder = ''
let before = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'caisson-programs-'))
  await copyFile('/usr/bin/sleep', join(folder, 'program'))
  await chmod(join(folder, 'program'), 0o755)
  before = await sum()
})
afterAll(() => rm(folder, { recursive: true }))

attack(wall, 'writing over Caisson’s own programs', {
  why: 'the next sandbox, or the host, would run what was written (CVE-2019-5736)',
  facts: (walled) =>
    walled
      ? { agent: '/caisson/agent', folder: '/caisson', run: '/usr/bin/sleep' }
      : { agent: join(folder, 'program'), folder, run: join(folder, 'program') },
  stoppedBy: /^(EROFS|EACCES|EPERM|EBUSY|EXDEV|ENOENT)/,
  untouched: async () => expect(await sum()).toBe(before),
  code: python`
agent, folder = facts['agent'], facts['folder']

@way('open for writing')
def write():
    return open_only(agent, os.O_WRONLY)

@way('truncate')
def truncate():
    os.truncate(agent, os.stat(agent).st_size)
    return 'truncated to its size'

@way('a new file beside it')
def beside():
    path = f'{folder}/new-{os.getpid()}'
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
    os.unlink(path)
    return path

@way('rename over it')
def rename():
    path = f'{folder}/moved-{os.getpid()}'
    os.rename(agent, path)
    os.rename(path, agent)
    return path

@way('change its mode')
def mode():
    os.chmod(agent, 0o755)
    return 'chmod'

@way('a hard link to it')
def link():
    path = f'{folder}/link-{os.getpid()}'
    os.link(agent, path)
    os.unlink(path)
    return path

@way('through a running program')
def running():
    # A running program cannot be written, but what is held open of it can be opened again when it has ended.
    child = subprocess.Popen([facts['run'], '30'])
    try:
        held = os.open(f'/proc/{child.pid}/exe', os.O_RDONLY)
    finally:
        child.kill()
        child.wait()
    return open_only(f'/proc/self/fd/{held}', os.O_WRONLY)

@way('through the first process')
def first():
    held = os.open('/proc/1/exe' if os.path.exists('/caisson') else agent, os.O_RDONLY)
    return open_only(f'/proc/self/fd/{held}', os.O_WRONLY)

@way('through its own interpreter')
def own():
    held = os.open('/proc/self/exe' if os.path.exists('/caisson') else agent, os.O_RDONLY)
    return open_only(f'/proc/self/fd/{held}', os.O_WRONLY)

@way('through shared memory of it')
def memory():
    import mmap
    with open(agent, 'rb' if os.path.exists('/caisson') else 'r+b') as file:
        try:
            mmap.mmap(file.fileno(), 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE).close()
        except PermissionError as error:
            raise Contained(f'EACCES {error}')
    return 'mapped for writing'
`,
})

attack(wall, 'writing over the programs of the runtimes', {
  why: 'they run in every sandbox, before the code that was asked for',
  facts: (walled) => ({ folder: walled ? '/caisson/runtimes' : folder }),
  stoppedBy: /^(EROFS|EACCES|EPERM)/,
  code: python`
@way('a new file')
def beside():
    path = f"{facts['folder']}/new-{os.getpid()}"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
    os.unlink(path)
    return path

@way('every file')
def every():
    for at, _, names in os.walk(facts['folder']):
        for name in names:
            return open_only(os.path.join(at, name), os.O_WRONLY)
    raise AssertionError('no file there')
`,
})
