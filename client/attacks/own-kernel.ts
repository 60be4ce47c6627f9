import type { WallName } from '@caisson/wire'

/** Of an attack, by its name: ways that a kernel of the sandbox's own grants, and what that is worth. Whatever is not here and comes through has got out. */
export type Granted = Readonly<Record<string, Readonly<Record<string, string>>>>

const same = (names: readonly string[], worth: string) => Object.fromEntries(names.map((name) => [name, worth]))

const GVISOR: Granted = {
  'writing what all sandboxes share': { 'make a file in /dev': 'a file system in the memory of this sandbox, that no other sees' },
  'the clock': { 'a time namespace': 'gVisor ignores a flag that it does not know; the clock that it has is its own' },
  'ids of the host': same(['users', 'groups'], 'gVisor’s own ids: on the host its processes have those of the sandbox (spec/escape/other-kernels.spec.ts)'),
  io_uring: { io_uring_setup: 'gVisor’s own; it makes no call of the host’s for it' },
  'the kernel’s log': same(['syslog', 'its size', 'dmesg'], 'gVisor’s own log, the same few lines of nonsense in every sandbox'),
  'switches of the kernel in /proc': {
    ...same(
      ['sys/kernel/hostname', 'sys/vm/overcommit_memory'],
      'gVisor’s own /proc/sys: what is written there is refused, or changes gVisor’s kernel of this sandbox',
    ),
    'sys/net/ipv4/ip_forward': 'of its own network stack, which has nothing but lo',
  },
  '/sys': same(
    ['kernel', 'fs/cgroup', 'bus', 'module', 'firmware', 'power'].map((name) => `/sys/${name}`),
    'gVisor’s own /sys, empty there',
  ),
  'memory of another process through /proc': {
    'its descriptors': 'names only; that none can be opened or copied is shown in spec/escape/other-kernels.spec.ts',
    'its environment': 'the agent’s, which is empty',
  },
  'tracing other processes': same(
    ['attach to a child', 'be traced'],
    'a child of the attacker’s, by gVisor’s own ptrace; the first process is out of reach (spec/escape/other-kernels.spec.ts)',
  ),
  'sockets past the network namespace': {
    'netlink kobject_uevent': 'a socket on which gVisor says nothing',
    'binding to an interface': 'of gVisor’s own stack',
  },
  'nesting namespaces': same(
    [...['user', 'mount', 'cgroup'].flatMap((kind) => [`unshare ${kind}`, `clone ${kind}`]), 'unshare time', 'unshare user and all'],
    'namespaces of gVisor’s kernel, which nothing of the host’s knows of',
  ),
}

export const OWN_KERNEL: Readonly<Record<WallName, Granted>> = { container: {}, gvisor: GVISOR, microvm: {} }
