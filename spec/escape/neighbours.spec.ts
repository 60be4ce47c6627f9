import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RunningCommand } from '../../client/index.ts'
import { attack, python, shared } from './attack.ts'

const wall = shared()
const neighbour = shared()
const token = randomBytes(12).toString('hex')
/** Of System V objects: any that nobody else has. */
const key = 0x4000_0000 | randomBytes(3).readUIntBE(0, 3)
const facts = JSON.stringify({ token, key })

/** Leaves a thing of every kind where its own kind could find it, and waits. */
const RESIDENT = `
import ctypes, json, os, socket, subprocess, sys
facts = json.loads(sys.argv[1])
token, key = facts['token'], facts['key']
libc = ctypes.CDLL(None, use_errno=True)
paths = [f'/tmp/{token}', f'/dev/shm/{token}', f'/var/tmp/{token}']
for path in paths:
    with open(path, 'w') as file:
        file.write(token)
shared = libc.shmget(key, 4096, 0o1666)
queue = libc.msgget(key, 0o1666)
semaphore = libc.semget(key, 1, 0o1666)
posix = libc.mq_open(b'/' + token.encode(), os.O_CREAT | os.O_RDWR, 0o666, None)
assert min(shared, queue, semaphore, posix) >= 0, (shared, queue, semaphore, posix)
listening = socket.socket(socket.AF_UNIX)
listening.bind('\\0' + token)
listening.listen()
tcp = socket.socket()
tcp.bind(('127.0.0.1', 0))
tcp.listen()
child = subprocess.Popen(['/usr/bin/python3', '-I', '-c', 'import time; time.sleep(600)', token], env={'SECRET': token}, stdin=subprocess.DEVNULL)
print(json.dumps({'port': tcp.getsockname()[1], 'pid': child.pid}), flush=True)
try:
    sys.stdin.read()
finally:
    child.kill()
    for path in paths:
        os.unlink(path)
    libc.shmctl(shared, 0, None)
    libc.msgctl(queue, 0, None)
    libc.semctl(semaphore, 0, 0)
    libc.mq_unlink(b'/' + token.encode())
`
const PYTHON = ['/usr/bin/python3', '-I', '-B', '-c', RESIDENT, facts] as const
let outside: ChildProcess | undefined
let inside: RunningCommand | undefined
let found = { outside: { port: 0, pid: 0 }, inside: { port: 0, pid: 0 } }

beforeAll(async () => {
  const [command, ...args] = PYTHON
  outside = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const [said] = (await once(outside.stdout as NonNullable<ChildProcess['stdout']>, 'data')) as [Buffer]
  const first = await new Promise<string>((resolve, reject) => {
    const started = neighbour.sandbox.commands.start([...PYTHON], { stdin: true, onStdout: resolve })
    started.then((running) => {
      inside = running
      running.wait().then(({ stderr }) => reject(new Error(stderr)), reject)
    }, reject)
  })
  found = { outside: JSON.parse(said.toString()), inside: JSON.parse(first) }
})
afterAll(async () => {
  outside?.stdin?.end()
  if (outside !== undefined) await once(outside, 'close')
})

attack(wall, 'another sandbox', {
  why: 'other people’s code and data, on the same machine',
  place: 'here',
  facts: (walled) => ({ token, key, ...(walled ? found.inside : found.outside) }),
  stoppedBy: /^(ENOENT|ESRCH|ECONNREFUSED|EACCES|EPERM|not there)/,
  code: python`
token, key = facts['token'], facts['key']

def file(folder):
    def run():
        with open(f'{folder}/{token}') as one:
            assert one.read() == token
        return token
    return run

for folder in ['/tmp', '/var/tmp', '/dev/shm']:
    way(f'a file in {folder}')(file(folder))

def sysv(call, *arguments):
    def run():
        ctypes.set_errno(0)
        found = getattr(LIBC, call)(key, *arguments)
        if found < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return f'id {found}'
    return run

way('shared memory')(sysv('shmget', 0, 0))
way('a message queue')(sysv('msgget', 0))
way('a semaphore')(sysv('semget', 0, 0))

@way('a POSIX message queue')
def posix():
    ctypes.set_errno(0)
    found = LIBC.mq_open(b'/' + token.encode(), os.O_RDWR)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return f'descriptor {found}'

@way('an abstract socket')
def abstract():
    with socket.socket(socket.AF_UNIX) as one:
        one.connect('\0' + token)
    return 'connected'

@way('a TCP port')
def tcp():
    socket.create_connection(('127.0.0.1', facts['port']), 10).close()
    return 'connected'

@way('its processes')
def processes():
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{name}/cmdline') as one:
                if one.read().split('\0')[-2:-1] == [token]:
                    return name
        except (FileNotFoundError, ProcessLookupError):
            # It has ended since it was listed.
            pass
    raise Contained('not there')

@way('System V lists')
def lists():
    for name in ['shm', 'msg', 'sem']:
        with open(f'/proc/sysvipc/{name}') as one:
            if any(line.split()[0] in (str(key), str(key - (1 << 32))) for line in one):
                return name
    raise Contained('not there')
`,
})

test('the two share no host id', async () => {
  const maps = await Promise.all([wall, neighbour].map(({ sandbox }) => sandbox.commands.run(['/usr/bin/cat', '/proc/self/uid_map'])))
  const first = maps.map(({ stdout }) => Number(stdout.trim().split(/\s+/)[1]))
  expect(Math.abs((first[0] ?? 0) - (first[1] ?? 0))).toBeGreaterThanOrEqual(65_536)
})

test('killing everything in one ends nothing of the other', async () => {
  await wall.sandbox.commands.run(['/usr/bin/python3', '-I', '-c', 'import os; os.kill(-1, 9)'], { user: 'root' })
  const { stdout } = await neighbour.sandbox.commands.run(['/usr/bin/cat', `/proc/${found.inside.pid}/environ`])
  expect(stdout).toContain(token)
  await inside?.closeStdin()
})

test('they have names and machine ids of their own', async () => {
  const facts = await Promise.all([wall, neighbour].map(({ sandbox }) => sandbox.commands.run('hostname; cat /etc/machine-id')))
  const lines = facts.flatMap(({ stdout }) => stdout.trim().split('\n'))
  expect(lines).toHaveLength(4)
  expect(new Set(lines).size).toBe(4)
})
