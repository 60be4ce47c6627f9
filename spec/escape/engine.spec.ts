import { execFileSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { onWall } from '../walls/every-wall.ts'

/** What they answer tells whose kernel it is: the host's has all of them. (Some versions of gVisor have an io_uring, all of its own.) */
const CALLS = `
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    result = libc.syscall(*arguments)
    print(name, 'done' if result >= 0 else errno.errorcode[ctypes.get_errno()])
call('bpf', 321, 0, ctypes.create_string_buffer(128), 128)
call('userfaultfd', 323, 0)
call('memfd_secret', 447, 0)
call('landlock', 444, None, 0, 1)
call('open_tree', 428, -100, b'/', 0)
call('kexec_load', 246, 0, 0, None, 0)
print(open('/proc/version').read().strip())
`

/** Ways to descriptors of the agent: its links, what hands out copies, and its memory. Of its own ends of pipes to commands nobody has a use. */
const REACH = `
import ctypes, os, stat
libc = ctypes.CDLL(None, use_errno=True)
tried = 0
for name in os.listdir('/proc/1/fd'):
    for flags in (os.O_RDWR, os.O_RDONLY, os.O_WRONLY, os.O_PATH):
        tried += 1
        try: fd = os.open('/proc/1/fd/' + name, flags | os.O_NONBLOCK)
        except OSError: continue
        if flags != os.O_PATH and stat.S_ISSOCK(os.fstat(fd).st_mode): print('got descriptor', name)
        os.close(fd)
pidfd = libc.syscall(434, 1, 0)
for number in range(20): tried += 1; libc.syscall(438, pidfd, number, 0) >= 0 and print('got copy', number)
if libc.ptrace(16, 1, 0, 0) == 0: print('got tracing')
try: open('/proc/1/mem', 'rb').read(1); print('got memory')
except OSError: pass
print('tried', tried)
`

onWall('gvisor', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    sandbox = await Sandbox.create({ template: 'base', wall: 'gvisor', timeoutMs: 300_000 })
  })
  afterAll(async () => {
    await sandbox.kill()
  })

  test.each(['user', 'root'])('system calls of %s are answered by the engine, not by the host', async (user) => {
    const host = await readFile('/proc/version', 'utf8')
    expect(execFileSync('python3', ['-c', CALLS], { encoding: 'utf8' })).toMatch(/^landlock done$/m)
    const { stdout } = await sandbox.commands.run(`python3 -c "$CALLS"`, { user, env: { CALLS } })
    expect(stdout).not.toContain(host.trim())
    expect(stdout).not.toMatch(/ done$/m)
    expect(stdout).toMatch(/^landlock ENOSYS$/m)
    expect(stdout).toMatch(/^memfd_secret ENOSYS$/m)
    expect((await sandbox.commands.run('dmesg', { user })).stdout).toContain('gVisor')
  })

  test('nothing of the host’s processes, sockets, devices and mounts is to be seen', async () => {
    const seen = await sandbox.commands.run('cat /proc/[0-9]*/comm; cat /proc/net/unix; ls -1 /dev /; cat /proc/mounts', { user: 'root' })
    expect(seen.stdout).not.toMatch(/keeper|runsc|docker|\/state|caisson-keeper|kmsg|loop|vda/)
    const { stdout } = await sandbox.commands.run('echo /proc/[0-9]* | wc -w')
    expect(Number(stdout)).toBeLessThan(6)
  })

  test.each(['user', 'root'])(
    'the agent’s conversation with the host is out of reach of %s: no descriptor, no socket, no path leads to it',
    async (user) => {
      const told = await sandbox.commands.run(`ls -l /proc/self/fd; find /tmp /home /dev /var /caisson -type s; python3 -c "$REACH"`, {
        user,
        env: { REACH },
      })
      expect(told.stdout).toMatch(/^tried [1-9]/m)
      expect(told.stdout).not.toMatch(/socket|^got /m)
    },
  )

  test('the engine itself is in a container: its ids are the sandbox’s own, and it has its own network with nothing in it', async () => {
    const pids = execFileSync('pgrep', ['-f', `runsc.*${sandbox.id}`], { encoding: 'utf8' })
      .trim()
      .split('\n')
    expect(pids.length).toBeGreaterThan(0)
    for (const pid of pids) {
      const status = await readFile(`/proc/${pid}/status`, 'utf8')
      expect(Number(/^Uid:\s+(\d+)/m.exec(status)?.[1])).toBeGreaterThan(1_900_000_000)
      expect(/^NoNewPrivs:\s+(\d)/m.exec(status)?.[1]).toBe('1')
      const links = (await readFile(`/proc/${pid}/net/dev`, 'utf8'))
        .split('\n')
        .slice(2)
        .filter((line) => line.trim() !== '')
      expect(links.map((line) => line.trim().split(':')[0])).toEqual(['lo'].slice(0, links.length))
    }
  })
})
