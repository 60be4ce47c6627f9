import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Canaries } from '../../client/attacks/canaries.ts'
import { attack, python } from './attack.ts'
import { ofOrdinaryUser } from './ordinary-user.ts'

// The central attacks once more, on sandboxes whose only id is the id of the host's user who made them: uids keep nothing apart here.
const wall = ofOrdinaryUser()
const canaries = new Canaries(['/home', '/var/tmp', '/run'])
let victim: ChildProcess | undefined
let server: Server
let heard = 0

beforeAll(async () => {
  await canaries.plant()
  for (const path of canaries.paths) await chown(path, wall.uid, wall.uid)
  victim = spawn('/usr/bin/sleep', ['600'], { stdio: 'ignore', uid: wall.uid, gid: wall.uid, env: { SECRET: canaries.token } })
  server = createServer((peer) => {
    heard += 1
    peer.end(canaries.token)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(async () => {
  victim?.kill('SIGKILL')
  server.close()
  await canaries[Symbol.asyncDispose]()
})

attack(wall, 'files, processes and services of the user who made the sandbox', {
  why: 'the id inside is that user’s',
  place: 'here',
  users: ['user'],
  facts: (walled) => {
    if (walled) heard = 0
    return { paths: canaries.paths, token: canaries.token, pid: victim?.pid, port: (server.address() as AddressInfo).port }
  },
  stoppedBy: /^(ENOENT|EACCES|EPERM|ESRCH|ECONNREFUSED|EROFS)/,
  untouched: async () => {
    await canaries.check()
    expect(heard).toBe(0)
    expect(victim?.exitCode).toBeNull()
  },
  code: python`
def reader(path):
    def read():
        with open(path) as file:
            assert facts['token'] in file.read()
        return facts['token']
    return read

for path in facts['paths']:
    way(f'read {path}')(reader(path))
way('up from the root')(reader('/proc/self/root/' + '../' * 20 + facts['paths'][0]))
way('environment of a process')(reader(f"/proc/{facts['pid']}/environ"))
way('through its root')(reader(f"/proc/{facts['pid']}/root{facts['paths'][0]}"))

@way('write')
def write():
    return open_only(facts['paths'][0], os.O_WRONLY | os.O_APPEND)

@way('signal')
def kill():
    os.kill(facts['pid'], 0)
    return 'signal 0 sent'

@way('trace')
def trace():
    syscall('ptrace', 0x4206, facts['pid'], 0, 0)
    return 'seized'

@way('connect')
def connect():
    with socket.create_connection(('127.0.0.1', facts['port']), 10) as one:
        return one.recv(100)
`,
})

attack(wall, 'mounts, namespaces and devices', {
  why: 'the wall itself was built without root, in a user namespace',
  users: ['user'],
  stoppedBy: /^(EPERM|EACCES|ENOSYS|EROFS)/,
  code: python`
import stat
PLACE = SCRATCH.encode()

def mount(source, kind, flags=0):
    def run():
        syscall('mount', source, PLACE, kind, flags, None)
        return 'mounted'
    return run

way('tmpfs')(mount(b'x', b'tmpfs'))
way('proc')(mount(b'proc', b'proc'))
way('bind')(mount(b'/usr', None, 4096))

def remount(path):
    def run():
        if not os.path.ismount(path):
            syscall('mount', path.encode(), path.encode(), None, 4096, None)
        syscall('mount', None, path.encode(), None, 4096 | 32, None)
        return f'{path} is writable'
    return run

for path in ['/', '/usr', '/etc']:
    way(f'remount {path}')(remount(path))

@way('open_tree')
def tree():
    return syscall('open_tree', -100, b'/', 1) + 1

for name, flag in dict(user=0x10000000, mount=0x20000, net=0x40000000, pid=0x20000000).items():
    way(f'unshare {name}')(lambda flag=flag: f"unshare {syscall('unshare', flag)}")

@way('a device')
def device():
    # Beside the folder: in it there is by now what was mounted.
    path = f'{SCRATCH}-node'
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 1))
    os.unlink(path)
    return 'made'

@way('the first process’s memory')
def memory():
    return open_only('/proc/1/mem', os.O_RDWR)

@way('the first process’s descriptors')
def descriptors():
    return os.listdir('/proc/1/fd')

@way('core_pattern')
def core():
    return open_only('/proc/sys/kernel/core_pattern', os.O_WRONLY)
`,
})

test('it holds no capability, and cannot get one', async () => {
  const { stdout } = await wall.run(['/usr/bin/cat', '/proc/self/status'], 'user')
  const none = '0000000000000000'
  const status = Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(':\t') as [string, string]),
  )
  expect(status).toMatchObject({ CapInh: none, CapPrm: none, CapEff: none, CapAmb: none, CapBnd: none, NoNewPrivs: '1', Seccomp: '2' })
})
