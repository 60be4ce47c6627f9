import { lstatSync, statSync } from 'node:fs'
import { chmod, rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { python } from './attack.ts'
import { Canaries } from './canaries.ts'
import type { Stage } from './stage.ts'

/** Folders that exist both on the host and in every sandbox. */
const SHARED_FOLDERS = ['/', '/usr', '/usr/bin', '/usr/local/bin', '/usr/lib', '/etc', '/bin', '/lib', '/var', '/home', '/dev']
const SHARED_PROGRAM = '/usr/bin/true'

/**
 * World-readable host files in places that no sandbox may see. Where root inside has its own root file system, it may write there; those writes must not reach
 * the host.
 */
export function hostFiles({ isOwnRoot = false } = {}): Stage {
  const canaries = new Canaries()
  /** A distinct name in each folder, since some folders are links to others. */
  const made = SHARED_FOLDERS.map((folder, index) => ({ folder, path: join(folder, `shared-${canaries.token}-${index}`) }))
  /** State of the program before the attack. */
  const { mode, atimeMs, mtimeMs } = statSync(SHARED_PROGRAM)
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
        facts: (walled) => ({ made, program: SHARED_PROGRAM, own: walled && isOwnRoot }),
        stoppedBy: isOwnRoot ? /^(EROFS|EACCES|EPERM|ENOENT|only here)/ : /^(EROFS|EACCES|EPERM|ENOENT)/,
        async untouched() {
          const there = made.map(({ path }) => path).filter((path) => lstatSync(path, { throwIfNoEntry: false }))
          await Promise.all(there.map((path) => rm(path, { force: true })))
          if (there.length > 0) throw new Error(`${there.join(', ')} was made`)
          const found = statSync(SHARED_PROGRAM)
          if (found.mode === mode && found.mtimeMs === mtimeMs) return
          await chmod(SHARED_PROGRAM, mode & 0o7777)
          await utimes(SHARED_PROGRAM, atimeMs / 1000, mtimeMs / 1000)
          throw new Error(`${SHARED_PROGRAM} was changed`)
        },
        code: python`
def reached(what):
    # Inside it works, and the host looks afterwards whether it is as it was.
    if facts['own']:
        raise Contained(f'only here: {what}')
    return what

def maker(path):
    def make():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        if not facts['own']:
            os.unlink(path)
        return reached(path)
    return make

for one in facts['made']:
    way(f"make a file in {one['folder']}")(maker(one['path']))

@way('open a program of /usr for writing')
def program():
    return reached(open_only(facts['program'], os.O_WRONLY))

@way('open a file of /etc for writing')
def etc():
    return reached(open_only('/etc/passwd', os.O_WRONLY))

@way('change its times')
def times():
    found = os.stat(facts['program'])
    # Seen from outside only where it is meant to stay.
    later = 10**9 if facts['own'] else 0
    os.utime(facts['program'], ns=(found.st_atime_ns, found.st_mtime_ns + later))
    return reached('utime')

@way('change its mode')
def mode():
    more = 0o020 if facts['own'] else 0
    os.chmod(facts['program'], os.stat(facts['program']).st_mode & 0o7777 | more)
    return reached('chmod')

@way('set an attribute')
def attribute():
    os.setxattr(facts['program'], 'user.shared', b'x')
    os.removexattr(facts['program'], 'user.shared')
    return reached('xattr')
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
