import { type NamedAttack, python } from './attack.ts'

export const privileges: readonly NamedAttack[] = [
  {
    name: 'a set-uid program of one’s own',

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
  },
  {
    name: 'set-uid programs of the host',

    why: 'su and mount come with /usr; a hole in one of them would be a way to root',
    stoppedBy: /^stayed/,
    code: python`
@way('su')
def su():
    # It waits for a password, with the ids that it got.
    return became_root('/usr/bin/su', '-c', 'true', 'nobody')
`,
  },
  {
    name: 'capabilities of a file',

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

@way('raise its own')
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
  },
]
