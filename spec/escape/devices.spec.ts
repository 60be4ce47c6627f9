import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { attack, python, shared } from './attack.ts'

const run = promisify(execFile)
const wall = shared()
const token = randomBytes(12).toString('hex')
/** A disk of the host that may come to harm: a file on a loop device. */
let disk = { folder: '', image: '', device: '', number: 0 }

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'caisson-disk-'))
  const image = join(folder, 'image')
  await writeFile(image, token.padEnd(64 * 1024, '.'))
  const device = (await run('losetup', ['--find', '--show', image])).stdout.trim()
  disk = { folder, image, device, number: (await stat(device)).rdev }
})
afterAll(async () => {
  await run('losetup', ['--detach', disk.device])
  await rm(disk.folder, { recursive: true })
})

attack(wall, 'making device nodes', {
  why: 'a node of the right number is the host’s disk or memory',
  facts: () => ({ disk: disk.number, token }),
  stoppedBy: /^(EPERM|EACCES)/,
  untouched: async () => {
    const found = await readFile(disk.image, 'utf8')
    expect(found.slice(0, token.length)).toBe(token)
  },
  code: python`
import stat
disk = facts['disk']

def made(folder, kind, device):
    path = f'{folder}/node-{os.getpid()}'
    os.mknod(path, kind | 0o666, device)
    return path

def maker(folder, kind, device):
    def make():
        path = made(folder, kind, device)
        os.unlink(path)
        return path
    return make

way('block device')(maker('/tmp', stat.S_IFBLK, disk))
way('/dev/mem')(maker('/tmp', stat.S_IFCHR, os.makedev(1, 1)))
way('/dev/kmsg')(maker('/tmp', stat.S_IFCHR, os.makedev(1, 11)))
way('in /dev/shm')(maker('/dev/shm', stat.S_IFBLK, disk))
way('in the home folder')(maker(os.environ['HOME'], stat.S_IFBLK, disk))

@way('reading a disk of the host')
def read():
    path = made('/tmp', stat.S_IFBLK, disk)
    try:
        with open(path, 'rb') as file:
            found = file.read(100).decode()
    finally:
        os.unlink(path)
    assert facts['token'] in found
    return facts['token']
`,
})

attack(wall, 'devices of the host', {
  why: 'memory, loop devices, tunnels, other machines’ terminals',
  stoppedBy: /^(ENOENT|EPERM|EACCES|ENXIO)/,
  code: python`
def opener(path, flags=os.O_RDONLY):
    return lambda: open_only(path, flags | os.O_NONBLOCK)

for path in ['/dev/mem', '/dev/port', '/dev/kmsg', '/dev/loop-control', '/dev/loop0', '/dev/fuse', '/dev/net/tun', '/dev/kvm', '/dev/console', '/dev/tty0', '/dev/ttyS0',
             '/dev/vda', '/dev/btrfs-control', '/dev/autofs', '/dev/cpu_dma_latency', '/dev/hwrng', '/dev/userfaultfd', '/dev/vhost-vsock']:
    way(path)(opener(path))

@way('any other device')
def other():
    usual = {'null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx'}
    found = [path for path in os.listdir('/dev') if path not in usual and not os.path.islink(f'/dev/{path}') and not os.path.isdir(f'/dev/{path}')]
    if not found:
        raise FileNotFoundError(errno.ENOENT, 'nothing but the usual')
    return found
`,
  missing: Object.fromEntries(
    [
      'mem',
      'port',
      'kmsg',
      'loop-control',
      'loop0',
      'fuse',
      'net/tun',
      'kvm',
      'console',
      'tty0',
      'ttyS0',
      'vda',
      'btrfs-control',
      'autofs',
      'cpu_dma_latency',
      'hwrng',
      'userfaultfd',
      'vhost-vsock',
    ].map((name) => [`/dev/${name}`, /^(ENOENT|ENXIO|ENODEV|EIO|EBUSY|EPERM)/]),
  ),
})

test('/dev holds these and no others', async () => {
  const { stdout } = await wall.sandbox.commands.run('cd /dev && find . -mindepth 1 -exec stat -c "%F %n" {} +', { user: 'root' })
  const character = ['full', 'null', 'pts/ptmx', 'random', 'tty', 'urandom', 'zero'].map((name) => `character special file ./${name}`)
  const folders = ['mqueue', 'pts', 'shm'].map((name) => `directory ./${name}`)
  const links = ['fd', 'ptmx', 'stderr', 'stdin', 'stdout'].map((name) => `symbolic link ./${name}`)
  expect(stdout.trim().split('\n').sort()).toEqual([...character, ...folders, ...links])
})
