import { type NamedAttack, python } from './attack.ts'

export const corePattern: readonly NamedAttack[] = [
  {
    name: 'core_pattern',

    why: 'the program named there runs as root on the host when something crashes',
    stoppedBy: /^(EROFS|EACCES|EPERM|refused)/,
    code: python`
import resource

@way('write it')
def write():
    # Opening is enough; nothing is written.
    return open_only('/proc/sys/kernel/core_pattern', os.O_WRONLY)

@way('let a crash reach it')
def limit():
    # A limit of 1 is how the kernel is told to start no program for a core (core(5)); the hard limit keeps it there.
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    except ValueError as error:
        raise Contained(f'refused: {error}')
    return resource.getrlimit(resource.RLIMIT_CORE)

@way('let the crash of a child reach it')
def child():
    done = subprocess.run(['/bin/bash', '-c', 'ulimit -S -c 1024'], capture_output=True, text=True)
    if done.returncode != 0:
        raise Contained(f'refused: {done.stderr}')
    return 'a limit of 1024'
`,
  },
]
