import { describe, expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { attack, python, shared } from './attack.ts'

const wall = shared()

attack(wall, 'a set-uid program of one’s own', {
  why: 'root inside leaves a program that whoever starts it becomes root with',
  users: ['root'],
  stoppedBy: /^stayed/,
  code: python`
import shutil

def plant(folder, mode):
    path = f'{folder}/set-uid-{os.getpid()}'
    shutil.copy('/usr/bin/id', path)
    os.chmod(path, mode)
    return path

def as_user(path, flag):
    def run():
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
    try:
        found = subprocess.run([path, flag], preexec_fn=run, capture_output=True, text=True, check=True).stdout.strip()
    finally:
        os.unlink(path)
    if found != '0':
        raise Contained(f'stayed {found}')
    return 'became 0'

@way('set-uid')
def uid():
    return as_user(plant('/tmp', 0o4755), '-u')

@way('set-gid')
def gid():
    return as_user(plant('/tmp', 0o2755), '-g')
`,
})

attack(wall, 'set-uid programs of the host', {
  why: 'su and mount come with /usr; a hole in one of them would be a way to root',
  stoppedBy: /^stayed/,
  code: python`
@way('su')
def su():
    # It waits for a password, with the ids that it got.
    return became_root('/usr/bin/su', '-c', 'true', 'nobody')
`,
})

attack(wall, 'capabilities of a file', {
  why: 'a program that carries capabilities gives them to whoever starts it',
  stoppedBy: /^(EPERM|stayed)/,
  code: python`
import shutil
os.chmod(SCRATCH, 0o755)
PATH = f'{SCRATCH}/capable'

@way('security.capability')
def attribute():
    shutil.copy('/usr/bin/cat', PATH)
    os.chmod(PATH, 0o755)
    # VFS_CAP_REVISION_2, effective: cap_net_raw and cap_sys_admin.
    os.setxattr(PATH, 'security.capability', struct.pack('<IIIII', 0x02000001, 1 << 13 | 1 << 21, 0, 0, 0))
    def run():
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
    status = subprocess.run([PATH, '/proc/self/status'], preexec_fn=run, capture_output=True, text=True, check=True).stdout
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith('CapEff'))
    if int(effective, 16) == 0:
        raise Contained('stayed without')
    return effective

@way('raise one’s own')
def capset():
    head = struct.pack('<Ii', 0x20080522, 0)
    if LIBC.capset(head, struct.pack('<IIIIII', 1 << 21, 1 << 21, 0, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), 'capset')
    return 'cap_sys_admin'

@way('ambient')
def ambient():
    if LIBC.prctl(47, 2, 21, 0, 0) != 0:
        head, data = struct.pack('<Ii', 0x20080522, 0), struct.pack('<IIIIII', 1 << 21, 1 << 21, 1 << 21, 0, 0, 0)
        if LIBC.capset(head, data) != 0 or LIBC.prctl(47, 2, 21, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), 'PR_CAP_AMBIENT_RAISE')
    return 'cap_sys_admin'
`,
})

describe('what a process holds', () => {
  // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE (capabilities(7)), over the sandbox's own user namespace only.
  const ofRoot = '00000000000004fb'
  const none = '0000000000000000'
  for (const [user, held] of [
    ['user', none],
    ['root', ofRoot],
  ] as const) {
    test(`${user} holds exactly this`, async () => {
      const { stdout } = await wall.sandbox.commands.run(['/usr/bin/cat', '/proc/self/status'], { user })
      const status = Object.fromEntries(
        stdout
          .trim()
          .split('\n')
          .map((line) => line.split(':\t') as [string, string]),
      )
      expect(status).toMatchObject({
        CapInh: none,
        CapPrm: held,
        CapEff: held,
        CapBnd: ofRoot,
        CapAmb: none,
        NoNewPrivs: '1',
        Seccomp: '2',
      })
      const id = user === 'root' ? '0' : '1000'
      expect(status).toMatchObject({ Uid: [id, id, id, id].join('\t'), Gid: [id, id, id, id].join('\t') })
      expect(status['Groups']?.trim()).toBe(id)
    })
  }

  test('PID 1 has the same filter, and may gain nothing either', async () => {
    const { stdout } = await wall.sandbox.commands.run(['/usr/bin/cat', '/proc/1/status'], { user: 'root' })
    expect(stdout).toMatch(/^NoNewPrivs:\t1$/m)
    expect(stdout).toMatch(/^Seccomp:\t2$/m)
    expect(stdout).toMatch(new RegExp(`^CapBnd:\t${ofRoot}$`, 'm'))
  })

  test('a Python that was forked from the zygote holds no more, in the same namespaces', async () => {
    await using sandbox = await Sandbox.create({ template: 'code-interpreter' })
    const look =
      "import os\nprint(open('/proc/self/status').read())\nprint('\\n'.join(f'{name}:\\t{os.readlink(f\"/proc/self/ns/{name}\")}' for name in sorted(os.listdir('/proc/self/ns'))))"
    const [forked, started] = [await sandbox.runCode(look), await sandbox.commands.run(['/usr/bin/python3', '-I', '-c', look])]
    const of = (text: string) =>
      Object.fromEntries(
        text
          .split('\n')
          .filter(Boolean)
          .map((line) => line.split(':\t') as [string, string]),
      )
    const keys = [
      'Uid',
      'Gid',
      'Groups',
      'CapInh',
      'CapPrm',
      'CapEff',
      'CapBnd',
      'CapAmb',
      'NoNewPrivs',
      'Seccomp',
      'mnt',
      'pid',
      'net',
      'ipc',
      'uts',
      'user',
      'cgroup',
    ]
    const only = (all: Record<string, string>) => keys.map((key) => [key, all[key]])
    expect(only(of(forked.stdout))).toEqual(only(of(started.stdout)))
    expect(of(forked.stdout)).toMatchObject({ CapEff: none, CapPrm: none, NoNewPrivs: '1', Seccomp: '2', TracerPid: '0' })
  })

  test('ids inside are ids of no account on the host', async () => {
    const { stdout } = await wall.sandbox.commands.run(['/usr/bin/cat', '/proc/self/uid_map', '/proc/self/gid_map'])
    for (const line of stdout.trim().split('\n')) {
      const [inside, outside, count] = line.trim().split(/\s+/).map(Number)
      expect(inside).toBe(0)
      expect(outside).toBeGreaterThanOrEqual(65_536)
      expect(count).toBe(65_536)
    }
  })
})
