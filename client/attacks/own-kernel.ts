import type { WallName } from '@caisson/wire'

/**
 * By attack name: ways that the sandbox's own kernel grants, and what that is worth; `*` stands for all ways. Any way that succeeds and is not listed is an
 * escape.
 */
export type Granted = Readonly<Record<string, Readonly<Record<string, string>>>>

const same = (names: readonly string[], worth: string) => Object.fromEntries(names.map((name) => [name, worth]))

const GVISOR: Granted = {
  'writing what all sandboxes share': { 'make a file in /dev': 'a file system in the memory of this sandbox, that no other sees' },
  'the clock': { 'a time namespace': 'gVisor ignores a flag that it does not know; the clock that it has is its own' },
  'ids of the host': same(
    ['users', 'groups'],
    'gVisor’s own ids: on the host its processes have those of the sandbox (spec/escape/engine.spec.ts)',
  ),
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
    'its descriptors': 'names only; that none can be opened or copied is shown in spec/escape/engine.spec.ts',
    'its environment': 'the agent’s, which is empty',
  },
  'tracing other processes': same(
    ['attach to a child', 'be traced'],
    'a child of the attacker’s, by gVisor’s own ptrace; the first process is out of reach (spec/escape/engine.spec.ts)',
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

const LINUX = 'the machine’s own Linux, which has nothing but this sandbox'

/** Root inside may change settings of the guest kernel and so gain more than root inside has. It is still in a virtual machine that nobody else uses. */
const MICROVM: Granted = {
  'opening files by handle': {
    name_to_handle_at: 'a number for a file that is seen anyway; opening one by it takes a right that nobody inside has',
  },
  core_pattern: { 'write it': 'what is named there runs as root of this machine, not of the host' },
  'the host’s name': { '/proc/sys/kernel/hostname': 'the name of this machine' },
  io_uring: { '*': LINUX },
  'kernel keyrings': { '*': 'keys of this machine: there are no others' },
  'system calls by other names': { '*': LINUX },
  'switches of the kernel in /proc': { '*': LINUX },
  'memory and secrets of the kernel in /proc': { '*': LINUX },
  '/sys': { '*': 'the machine’s own devices: its disks, which it has anyway, and none of the host’s' },
  'tracing other processes': same(['attach to a child', 'be traced'], 'a child of the attacker’s'),
  'sockets past the network namespace': same(
    ['sock_diag', 'selinux', 'connector', 'kobject_uevent', 'generic'].map((family) => `netlink ${family}`),
    'of the machine’s own network, which is its way to the gate',
  ),
  'typing into a terminal': same(['TIOCSTI', 'TIOCSTI with more bits'], 'a terminal of the sandbox; none of the host’s is in the machine'),
  'nesting namespaces': { '*': 'namespaces of the machine’s own kernel' },
  userfaultfd: { '*': LINUX },
  'ids of the host': same(
    ['users', 'groups'],
    'the machine’s own ids: on the host QEMU has one of the sandbox (spec/escape/machine.spec.ts)',
  ),
}

/** Undefined: an escape. */
export function worthOf(wall: WallName, attack: string, way: string): string | undefined {
  const granted = OWN_KERNEL[wall][attack]
  return granted?.[way] ?? granted?.['*']
}

export const OWN_KERNEL: Readonly<Record<WallName, Granted>> = { container: {}, gvisor: GVISOR, microvm: MICROVM }
