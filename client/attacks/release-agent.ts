import { type NamedAttack, python } from './attack.ts'

export const releaseAgent: readonly NamedAttack[] = [
  {
    name: 'release_agent',

    why: 'the program named there runs as root on the host when a control group empties (CVE-2022-0492)',
    stoppedBy: /^(EPERM|ENOENT|EROFS|EACCES|ENOSYS)/,
    // Opened but never written. The mounts are the attack's own.
    code: python`
PLACE = SCRATCH

def version1(controller):
    def run():
        syscall('mount', b'cgroup', PLACE.encode(), b'cgroup', 0, controller.encode())
        return open_only(f'{PLACE}/release_agent', os.O_WRONLY)
    return run

for controller in ['pids', 'memory', 'devices']:
    way(f'mount {controller}')(version1(controller))

@way('mount version 2')
def version2():
    syscall('mount', b'cgroup2', PLACE.encode(), b'cgroup2', 0, None)
    return open_only(f'{PLACE}/cgroup.procs', os.O_WRONLY)

@way('what is mounted')
def mounted():
    for controller in os.listdir('/sys/fs/cgroup'):
        path = f'/sys/fs/cgroup/{controller}/release_agent'
        if os.path.exists(path):
            return open_only(path, os.O_WRONLY)
    raise FileNotFoundError(errno.ENOENT, 'no release_agent')

@way('leave the group')
def leave():
    groups = [f'/sys/fs/cgroup/{one}' for one in os.listdir('/sys/fs/cgroup')]
    path = next((one for one in groups if os.path.exists(f'{one}/cgroup.procs')), None)
    if path is None:
        raise FileNotFoundError(errno.ENOENT, 'no control group')
    return open_only(f'{path}/cgroup.procs', os.O_WRONLY)
`,
    // A controller belongs to cgroup v1 or v2, never to both.
    missing: {
      'mount pids': /^(EBUSY|EINVAL|ENOENT)/,
      'mount memory': /^(EBUSY|EINVAL|ENOENT)/,
      'mount devices': /^(EBUSY|EINVAL|ENOENT)/,
      'what is mounted': /^ENOENT/,
    },
  },
]
