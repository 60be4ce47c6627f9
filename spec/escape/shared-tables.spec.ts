import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { attack, python, shared } from './attack.ts'

const wall = shared()

/** More of each than one sandbox may have. As a user that has nothing of it yet: root's own are needed by others, who must not notice. */
attack(wall, 'what the kernel has once for all', {
  why: 'who uses it up leaves nothing to other sandboxes, and nothing to the host',
  stoppedBy: /^(ENOSPC|EMFILE|EAGAIN|ENOSYS) /,
  code: python`
import resource

def nobody():
    if os.getuid() == 0:
        os.setresuid(4321, 4321, 4321)

@way('terminals')
def terminals():
    return f"{len([os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY) for _ in range(65)])} terminals"

def checked(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)
    return result

@way('inotify instances')
def inotify():
    nobody()
    with open('/proc/sys/fs/inotify/max_user_instances') as file:
        most = min(128, int(file.read()) // 2)
    return f"{len([checked(LIBC.inotify_init1(0), 'inotify_init1') for _ in range(most + 1)])} instances"

@way('queued signals')
def signals():
    nobody()
    timers = [checked(LIBC.timer_create(1, None, ctypes.byref(ctypes.c_void_p())), 'timer_create') for _ in range(8193)]
    return f'{len(timers)} timers'

@way('asynchronous I/O')
def aio():
    return f"{syscall('io_setup', 1, ctypes.byref(ctypes.c_ulong()))}, a context"
`,
})

/** Takes of each as many as it gets, up to a number, says how many that were, and holds them until its input ends. */
const TAKING = python`
import ctypes, json, os, sys
most = int(sys.argv[1])
libc = ctypes.CDLL(None)

def terminal():
    try:
        return os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return -1

def timer():
    return libc.timer_create(1, None, ctypes.byref(ctypes.c_void_p()))

taken = {}
for name, take, bound in [('terminals', terminal, 100), ('inotify', lambda: libc.inotify_init1(0), 200), ('signals', timer, 10000)]:
    taken[name] = 0
    while taken[name] < min(most, bound) and take() >= 0:
        taken[name] += 1
print(json.dumps(taken), flush=True)
sys.stdin.read()
`
const PYTHON = ['/usr/bin/python3', '-I', '-B', '-c', TAKING] as const
const FEW = { terminals: 3, inotify: 3, signals: 3 }

async function onHost(most: number): Promise<unknown> {
  const [command, ...args] = PYTHON
  const child = spawn(command, [...args, String(most)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [said] = (await once(child.stdout, 'data')) as [Buffer]
  child.stdin.end()
  await once(child, 'close')
  return JSON.parse(said.toString())
}

// Made by the host's root, or below the namespace of a zygote: the kernel counts them otherwise.
test.each(['base', 'code-interpreter'])('who takes all that it gets leaves the others theirs: template %s', async (template) => {
  await using greedy = await Sandbox.create({ template, timeoutMs: 300_000 })
  await using neighbour = await Sandbox.create({ template, timeoutMs: 300_000 })
  let said: (text: string) => void = () => undefined
  const first = new Promise<string>((resolve) => {
    said = resolve
  })
  const running = await greedy.commands.start([...PYTHON, '1000000'], { user: 'root', stdin: true, onStdout: said })
  const taken = JSON.parse(await first)
  // It was held at its own bound, and not for another reason before.
  expect(taken).toMatchObject({ terminals: 64, inotify: expect.any(Number), signals: expect.any(Number) })
  expect(taken.inotify).toBeGreaterThan(3)
  expect(taken.signals).toBeGreaterThan(4000)
  expect(taken.signals).toBeLessThanOrEqual(8192)
  const { stdout } = await neighbour.commands.run([...PYTHON, '3'], { user: 'root' })
  expect(JSON.parse(stdout)).toEqual(FEW)
  expect(await onHost(3)).toEqual(FEW)
  await running.closeStdin()
  expect((await running.wait()).exitCode).toBe(0)
})
