import { type NamedAttack, python } from './attack.ts'

export const mounts: readonly NamedAttack[] = [
  {
    name: 'mounting',

    why: 'a mount of one’s own replaces what programs trust, or shows what was hidden',
    stoppedBy: /^(EPERM|ENOSYS)/,
    code: python`
PLACE = SCRATCH.encode()
BIND, REMOUNT, REC, PRIVATE, MOVE, RDONLY = 4096, 32, 16384, 1 << 18, 8192, 1

def mount(source, target, kind, flags=0, data=None):
    syscall('mount', source, target, kind, flags, data)
    return f'{kind or "mounted"} at {target}'

way('tmpfs')(lambda: mount(b'x', PLACE, b'tmpfs'))
way('proc')(lambda: mount(b'proc', PLACE, b'proc'))
way('devpts')(lambda: mount(b'x', PLACE, b'devpts'))
way('overlay')(lambda: mount(b'x', PLACE, b'overlay', 0, b'lowerdir=/usr:/etc'))
way('bind')(lambda: mount(b'/usr', PLACE, None, BIND))
way('bind all of /proc')(lambda: mount(b'/proc', PLACE, None, BIND | REC))

@way('pivot_root')
def pivot():
    mount(b'/', PLACE, None, BIND | REC)
    os.chdir(PLACE)
    syscall('pivot_root', b'.', b'.')
    return 'a new root'

@way('make shared')
def share():
    mount(PLACE, PLACE, None, BIND)
    return mount(None, PLACE, None, 1 << 20)

@way('chroot')
def chroot():
    os.chroot(PLACE)
    return 'a new root'

@way('chroot and out')
def out():
    # A folder above the root that is held open is the way past it.
    held = os.open('/', os.O_RDONLY)
    os.chroot(PLACE)
    os.fchdir(held)
    os.chroot('.')
    return os.listdir('/')
`,
  },
  {
    name: 'remounting and unmounting',

    why: 'read-only parts become writable, masked ones visible',
    stoppedBy: /^(EPERM|ENOSYS)/,
    code: python`
BIND, REMOUNT = 4096, 32

def remount(path):
    def run():
        if not os.path.ismount(path):
            syscall('mount', path.encode(), path.encode(), None, BIND, None)
        syscall('mount', None, path.encode(), None, REMOUNT | BIND, None)
        return f'{path} is writable'
    return run

for path in ['/', '/usr', '/etc', '/proc/sys']:
    way(f'remount {path}')(remount(path))

def masked(path):
    def run():
        if not os.path.ismount(path):
            syscall('mount', b'/dev/null', path.encode(), None, BIND, None)
        syscall('umount2', path.encode(), 2)
        return f'{path} is bare'
    return run

for path in ['/proc/keys', '/proc/kmsg', '/proc/kallsyms']:
    way(f'unmount the mask of {path}')(masked(path))

@way('unmount all of /proc')
def proc():
    syscall('umount2', b'/proc', 2)
    return 'gone'
`,
  },
  {
    name: 'the newer mount calls',

    why: 'the same, through calls that older filters do not know',
    stoppedBy: /^(EPERM|ENOSYS)/,
    code: python`
AT_FDCWD, CLONE, EMPTY_PATH, CREATE = -100, 1, 0x1000, 6
PLACE = SCRATCH.encode()

def tree():
    return syscall('open_tree', AT_FDCWD, b'/usr', CLONE)

way('open_tree')(lambda: f'descriptor {tree()}')

@way('move_mount')
def move():
    # Without a tree of its own there is still a folder's descriptor to try with.
    try:
        source = tree()
    except OSError:
        source = os.open('/usr', os.O_PATH)
    syscall('move_mount', source, b'', AT_FDCWD, PLACE, 4)
    return 'mounted'

@way('fsopen and fsmount')
def fs():
    context = syscall('fsopen', b'tmpfs', 0)
    syscall('fsconfig', context, CREATE, None, None, 0)
    return f"descriptor {syscall('fsmount', context, 0, 0)}"

@way('fspick')
def pick():
    return f"descriptor {syscall('fspick', AT_FDCWD, b'/', 0)}"

@way('mount_setattr')
def setattr():
    # set, clear (MOUNT_ATTR_NOSUID), propagation, user namespace.
    attributes = struct.pack('QQQQ', 0, 2, 0, 0)
    path = b'/proc'
    syscall('mount_setattr', AT_FDCWD, path, 0, attributes, len(attributes))
    return 'nosuid cleared'
`,
  },
]
