import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { attack, python, shared } from './attack.ts'

const wall = shared()
/** Stands for the agent, without the wall. */
let other: ChildProcess | undefined

beforeAll(() => {
  const script =
    'import signal, socket, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\none = socket.socket(socket.AF_UNIX)\ntime.sleep(600)'
  other = spawn('/usr/bin/python3', ['-I', '-c', script], { stdio: ['ignore', 'ignore', 'ignore', process.stderr] })
})
afterAll(() => {
  other?.kill('SIGKILL')
})

const home = process.env['CAISSON_HOME'] || join(process.env['HOME'] ?? '/root', '.caisson')
const facts = (walled: boolean) => {
  const folder = join(home, 'sandboxes', wall.sandbox.id)
  return {
    pid: walled ? 1 : other?.pid,
    sockets: readdirSync(folder)
      .filter((name) => name.endsWith('.sock'))
      .map((name) => join(folder, name)),
  }
}
const alive = async () => {
  const { stdout } = await wall.sandbox.commands.run('cat /proc/1/comm; grep -c . /proc/1/status')
  expect(stdout).toMatch(/caisson|agent/)
}

attack(wall, 'the first process', {
  why: 'it serves the host: whoever steers it speaks to the host in its name',
  place: 'here',
  facts,
  stoppedBy: /^(EPERM|EACCES|ENOENT|ECONNREFUSED|still there|not there)/,
  untouched: alive,
  code: python`
pid = facts['pid']

def gone(number):
    def run():
        if pid != 1:
            # Without the wall a stand-in: it could be done, and is not.
            os.kill(pid, 0)
            return 'allowed'
        os.kill(pid, number)
        time.sleep(0.1)
        if os.path.exists('/proc/1/comm'):
            raise Contained('still there')
        return 'ended'
    return run

for number in [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV]:
    way(f'signal {number}')(gone(number))

@way('list its descriptors')
def descriptors():
    return [os.readlink(f'/proc/{pid}/fd/{name}') for name in os.listdir(f'/proc/{pid}/fd')]

@way('open its descriptors')
def reopen():
    return open_only(f'/proc/{pid}/fd/0', os.O_RDWR)

@way('write its memory')
def memory():
    return open_only(f'/proc/{pid}/mem', os.O_RDWR)

@way('read its memory map')
def maps():
    with open(f'/proc/{pid}/maps') as file:
        return file.readline()

@way('trace it')
def trace():
    syscall('ptrace', 0x4206, pid, 0, 0)
    return 'seized'

@way('take a descriptor of it')
def take():
    return syscall('pidfd_getfd', syscall('pidfd_open', pid, 0), 0, 0) + 1

@way('its sockets by path')
def sockets():
    assert facts['sockets']
    for path in facts['sockets']:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(path)
    return facts['sockets']

@way('its sockets by name')
def names():
    with open('/proc/net/unix') as file:
        found = [line.split()[-1] for line in file if '.sock' in line]
    if not any(one in facts['sockets'] for one in found):
        raise Contained('not there')
    return found
`,
})

test('it lives, and serves, after all that', async () => {
  await wall.sandbox.commands.run('kill -9 1; kill -STOP 1; kill -TERM 1; kill -9 -1', { user: 'user' }).catch(() => undefined)
  await wall.sandbox.commands.run('kill -9 1; kill -STOP 1', { user: 'root' })
  await alive()
})
