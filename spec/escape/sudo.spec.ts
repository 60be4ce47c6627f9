import { randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { attack, python, shared } from './attack.ts'

// The profile in which `sudo` works: whoever is root through it is root of the sandbox's own ids, and of nothing else.

const wall = shared({ profile: 'e2b' })
const token = randomBytes(12).toString('hex')
/** Where a sandbox sees it, for the host's root alone. */
const secret = `/usr/local/share/caisson-secret-${token}`
const planted = `/usr/local/share/caisson-planted-${token}`

beforeAll(() => writeFile(secret, token, { mode: 0o600 }))
afterAll(() => Promise.all([secret, planted].map((path) => rm(path, { force: true }))))

attack(wall, 'root by sudo', {
  why: 'sudo asks for no password inside; its root must stay there',
  users: ['user'],
  facts: (walled) => ({ secret, planted, token, walled }),
  stoppedBy: /^(sudo said|stayed)/,
  untouched: async () => {
    expect(await readFile(secret, 'utf8')).toBe(token)
    await expect(readFile(planted)).rejects.toThrow('ENOENT')
  },
  mend: () => rm(planted, { force: true }),
  code: python`
def sudo(*command, stdin=None):
    ended = subprocess.run(['/usr/bin/sudo', '-n', *command], capture_output=True, text=True, input=stdin)
    if ended.returncode != 0:
        # Sudo itself must have worked, or this would prove nothing.
        assert 'sudo: ' not in ended.stderr, ended.stderr
        raise Contained(f'sudo said {ended.stderr}')
    return ended.stdout or 'done'

@way('what only the host’s root may read')
def secret():
    found = sudo('cat', facts['secret'])
    assert found == facts['token'], found
    return found

def only_here(done):
    # Root of this root; on the host nothing of it is seen.
    if facts['walled']:
        raise Contained('stayed here')
    return done

@way('plant a program')
def plant():
    return only_here(sudo('tee', facts['planted'], stdin='#!/bin/sh'))

@way('write over a program')
def over():
    return sudo('sh', '-c', 'test -w /usr/bin/sudo && exec 3>>/usr/libexec/sudo/sudoers.so')

@way('change the rules')
def rules():
    return only_here(sudo('sh', '-c', 'exec 3>>/etc/sudoers; echo rules'))

@way('remount')
def remount():
    return sudo('sh', '-c', 'mount --bind /usr /usr && mount -o remount,bind,rw /usr && echo writable')

@way('a device')
def device():
    return sudo('sh', '-c', f'mknod {SCRATCH}/device c 1 3 && echo made')

@way('a module')
def module():
    number = NUMBERS['init_module'][0 if X86 else -1]
    call = f'ctypes.CDLL(None, use_errno=True).syscall({number}, None, 0, None)'
    # With the right to, the kernel looks at the module that is none.
    return sudo('python3', '-c', f'import ctypes; {call}; assert ctypes.get_errno() != 1, "EPERM"')

@way('a route')
def route():
    return sudo('sh', '-c', 'ip route add blackhole 192.0.2.1/32 && ip route del blackhole 192.0.2.1/32')

@way('more capabilities')
def capabilities():
    status = sudo('cat', '/proc/self/status')
    effective = int(next(line.split()[1] for line in status.splitlines() if line.startswith('CapEff')), 16)
    # SYS_ADMIN, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, NET_ADMIN, MKNOD, DAC_READ_SEARCH, SETFCAP, SETPCAP.
    if effective & (1 << 21 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 12 | 1 << 27 | 1 << 2 | 1 << 31 | 1 << 8) == 0:
        raise Contained(f'stayed {effective:x}')
    return f'{effective:x}'

@way('the host’s name')
def name():
    return sudo('hostname', 'localhost')

@way('ids of the host')
def ids():
    first = sudo('cat', '/proc/self/uid_map').split()[1]
    if int(first) >= 1_900_000_000:
        raise Contained(f'stayed {first}')
    return f'0 is {first}'
`,
})

attack(wall, 'other set-uid programs, where sudo works', {
  why: 'every other set-uid program of the machine is attack surface that nobody asked for',
  users: ['user'],
  stoppedBy: /^stayed/,
  code: python`
@way('su')
def su():
    return became_root('/usr/bin/su', '-c', 'true', 'nobody')

@way('one of one’s own')
def own():
    # In /usr/local outside: /tmp may be nosuid there. Inside, only the sandbox's own disk can be written.
    path = f'{SCRATCH}/own'
    os.chmod(SCRATCH, 0o755)
    subprocess.run(['/usr/bin/sudo', '-n', 'install', '-m', '4755', '-o', 'root', '/usr/bin/sleep', path], check=True)
    child = subprocess.Popen([path, '10'], preexec_fn=(lambda: os.setresuid(1000, 1000, 1000)) if os.getuid() == 0 else None)
    try:
        with open(f'/proc/{child.pid}/status') as file:
            ids = next(line.split()[1:] for line in file if line.startswith('Uid:'))
    finally:
        subprocess.run(['/usr/bin/sudo', '-n', 'kill', str(child.pid)], check=True)
        child.wait()
        subprocess.run(['/usr/bin/sudo', '-n', 'rm', path], check=True)
    if ids[1] != '0':
        raise Contained(f'stayed {ids}')
    return f'became {ids}'
`,
})

describe('sudo', () => {
  const run = (command: string) => wall.sandbox.commands.run(['/bin/sh', '-c', command], { env: { CALL_SCOPED: 'mine' } })

  test('gives root of the sandbox, with the same rights as the root that the host starts programs as', async () => {
    expect((await run('sudo -n id -u')).stdout).toBe('0\n')
    const status = (user: 'root' | 'user', command: string) =>
      wall.sandbox.commands.run(['/bin/sh', '-c', `${command} grep -E "^(Cap|Uid|NoNew|Seccomp:)" /proc/self/status`], { user })
    expect((await status('user', 'sudo -n')).stdout).toBe((await status('root', '')).stdout)
  })

  test('keeps nothing of what its caller was given, and finds the programs of the template', async () => {
    const { stdout } = await run('echo $CALL_SCOPED; sudo -n env')
    expect(stdout).toMatch(/^mine\n/)
    expect(stdout).not.toContain('CALL_SCOPED')
    expect(stdout).toContain((await run('echo "PATH=$PATH"')).stdout)
  })

  test('says nothing but what its program says', async () => {
    expect(await run('sudo -n true; sudo -n -u user id -un; sudo -n -i pwd; sudo -n su -c "id -un"')).toMatchObject({
      exitCode: 0,
      stdout: 'user\n/root\nroot\n',
      stderr: '',
    })
  })

  test('is the way in for `user` alone, and su is none', async () => {
    const { stdout } = await wall.sandbox.commands.run(['/bin/sh', '-c', 'setpriv --reuid 65534 --clear-groups sudo -n id 2>&1; true'], {
      user: 'root',
    })
    expect(stdout).not.toContain('uid=0')
    expect((await run('echo | su -c id 2>&1; true')).stdout).not.toContain('uid=0')
  })
})

describe('without the profile', () => {
  const plain = shared()

  test('sudo and su give nothing', async () => {
    const { stdout, exitCode } = await plain.sandbox.commands.run(['/bin/sh', '-c', 'sudo -n id; echo | su -c id'])
    expect([stdout, exitCode]).toEqual(['', expect.any(Number)])
    expect(exitCode).not.toBe(0)
  })
})
