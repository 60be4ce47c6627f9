import { type NamedAttack, python } from './attack.ts'

export const userNamespaces: readonly NamedAttack[] = [
  {
    name: 'nesting namespaces',

    why: 'in a user namespace of one’s own one is root again, and much of the kernel opens up',
    stoppedBy: /^(EPERM|ENOSYS)/,
    code: python`
NAMESPACES = dict(user=0x10000000, mount=0x20000, uts=0x4000000, ipc=0x8000000, net=0x40000000, pid=0x20000000, cgroup=0x2000000, time=0x80)

def unsharer(flag):
    def run():
        syscall('unshare', flag)
        return f'unshare {flag:#x}'
    return run

def cloner(flag):
    def run():
        child = syscall('clone', flag | signal.SIGCHLD, 0, 0, 0, 0)
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return f'clone {flag:#x}'
    return run

for name, flag in NAMESPACES.items():
    way(f'unshare {name}')(unsharer(flag))
    if name != 'time':
        way(f'clone {name}')(cloner(flag))

way('unshare user and all')(unsharer(0x10000000 | 0x20000 | 0x40000000))

@way('clone3')
def clone3():
    arguments = struct.pack('<8Q', 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    child = syscall('clone3', arguments, len(arguments))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return 'clone3 user'
`,
  },
  {
    name: 'entering namespaces',

    why: 'back into the host’s, or into those of another sandbox',
    stoppedBy: /^(EPERM|EACCES|ENOENT|ENOSYS)/,
    code: python`
def enterer(name, kind):
    def run():
        syscall('setns', os.open(f'/proc/1/ns/{name}', os.O_RDONLY), kind)
        return name
    return run

for name, kind in dict(mnt=0x20000, uts=0x4000000, ipc=0x8000000, net=0x40000000, pid=0x20000000, cgroup=0x2000000).items():
    way(f'{name} of the first process')(enterer(name, kind))

@way('by its pidfd')
def pidfd():
    syscall('setns', syscall('pidfd_open', 1, 0), 0x4000000)
    return 'uts'

@way('its own')
def own():
    syscall('setns', os.open('/proc/self/ns/uts', os.O_RDONLY), 0)
    return 'uts'
`,
  },
]
