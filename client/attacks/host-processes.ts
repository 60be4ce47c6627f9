import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { python } from './attack.ts'
import type { Stage } from './stage.ts'

/** A host process that holds something secret. */
export function hostProcesses(): Stage {
  const token = randomBytes(12).toString('hex')
  let victim: ChildProcess | undefined
  const facts = () => ({ pid: victim?.pid, token })

  async function untouched(): Promise<void> {
    const status = await readFile(`/proc/${victim?.pid}/status`, 'utf8')
    if (!/^State:\t[SR]/m.test(status)) throw new Error('the process of the host does not run any more')
    if (!/^TracerPid:\t0$/m.test(status)) throw new Error('somebody traces the process of the host')
  }

  return {
    attacks: [
      {
        name: 'seeing processes of the host',

        why: 'command lines and environments hold secrets; a root is a way to files',
        place: 'here',
        facts,
        stoppedBy: /^(ENOENT|ESRCH|EACCES|EPERM|not there)/,
        untouched,
        code: python`
pid = facts['pid']

@way('list /proc')
def listing():
    for name in filter(str.isdigit, os.listdir('/proc')):
        if int(name) in (os.getpid(), os.getppid()):
            continue
        try:
            with open(f'/proc/{name}/cmdline') as file:
                if facts['token'] in file.read().split('\0')[-2:-1]:
                    return f'process {name}'
        except (FileNotFoundError, ProcessLookupError):
            # It has ended since it was listed.
            pass
    raise Contained('not there')

@way('environ')
def environ():
    with open(f'/proc/{pid}/environ') as file:
        assert facts['token'] in file.read()
    return 'the secret'

@way('root')
def root():
    return os.listdir(f'/proc/{pid}/root/root/..')

@way('cwd')
def cwd():
    return os.readlink(f'/proc/{pid}/cwd')

@way('exe')
def exe():
    return os.readlink(f'/proc/{pid}/exe')

@way('fd')
def fd():
    return os.listdir(f'/proc/{pid}/fd')

@way('maps')
def maps():
    with open(f'/proc/{pid}/maps') as file:
        return file.readline()

@way('namespaces')
def namespaces():
    return os.readlink(f'/proc/{pid}/ns/mnt')
`,
      },
      {
        name: 'acting on processes of the host',

        why: 'ending or steering a process of the host',
        place: 'here',
        facts,
        stoppedBy: /^(ENOENT|ESRCH|EPERM|EACCES)/,
        untouched,
        code: python`
pid = facts['pid']

@way('kill')
def kill():
    os.kill(pid, signal.SIGUSR1)
    return 'SIGUSR1 sent'

@way('kill its group')
def group():
    os.killpg(os.getpgid(pid), 0)
    return 'its group'

@way('pidfd_send_signal')
def pidfd():
    handle = syscall('pidfd_open', pid, 0)
    syscall('pidfd_send_signal', handle, 0, None, 0)
    return 'signal 0 sent'

@way('queued signal')
def queued():
    # rt_sigqueueinfo(2) of the C library: sigqueue.
    if LIBC.sigqueue(pid, 0, None) != 0:
        raise OSError(ctypes.get_errno(), 'sigqueue')
    return 'signal 0 queued'

@way('priority')
def priority():
    os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid))
    return 'priority set'

@way('affinity')
def affinity():
    os.sched_setaffinity(pid, os.sched_getaffinity(pid))
    return 'affinity set'

@way('limits')
def limits():
    import resource
    resource.prlimit(pid, resource.RLIMIT_NOFILE, resource.prlimit(pid, resource.RLIMIT_NOFILE))
    return 'limits set'

@way('out-of-memory score')
def score():
    return open_only(f'/proc/{pid}/oom_score_adj', os.O_WRONLY)

@way('memory')
def memory():
    return open_only(f'/proc/{pid}/mem', os.O_RDWR)
`,
      },
    ],
    async open() {
      // It survives the single signal that is sent, which would otherwise reveal a second environment, root and working directory. It ends with its parent,
      // which may be killed.
      const script = 'trap : USR1; while kill -0 $PPID; do sleep 0.2; done'
      victim = spawn('/bin/bash', ['-c', script, token], { stdio: 'ignore', env: { SECRET: token, PATH: '/usr/bin:/bin' }, cwd: '/etc' })
    },
    async [Symbol.asyncDispose]() {
      victim?.kill('SIGKILL')
    },
  }
}
