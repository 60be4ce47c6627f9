import { afterAll, beforeAll, describe } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { onWall } from '../walls/every-wall.ts'
import { on } from './attack.ts'

/**
 * The attacks of the other files, on a wall with a kernel of its own, in one sandbox. A way that comes through there has come to that kernel, not to
 * the host's: those are named, with what they are worth.
 */
const GVISOR: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'abstract-sockets': {},
  bpf: {},
  clock: { 'a time namespace': 'gVisor ignores a flag that it does not know; the clock that it has is its own' },
  'core-pattern': {},
  descriptors: {},
  devices: {
    'in /dev/shm': 'a node of gVisor’s: opened, it is a device that gVisor has, or none',
    '/dev/fuse': 'gVisor’s own FUSE, for its own kernel',
    '/dev/net/tun': 'a device of gVisor’s own network stack',
    'any other device': 'the same two',
  },
  'host-environment': {},
  'host-files': { 'make a file in /dev': 'a file system in the memory of this sandbox, that no other sees' },
  'host-name': {},
  'host-processes': {},
  'io-uring': { io_uring_setup: 'gVisor’s own; it makes no call of the host’s for it' },
  'kernel-calls': {},
  'kernel-log': {
    syslog: 'gVisor’s own log, the same few lines of nonsense in every sandbox',
    'its size': 'the same',
    dmesg: 'the same',
  },
  keyrings: {},
  'machine-languages': {},
  'memfd-secret': {},
  mounts: {},
  network: {},
  'perf-events': {},
  privileges: {},
  'proc-and-sys': {
    'sys/kernel/hostname': 'gVisor’s own /proc/sys: what is written there is refused, or changes gVisor’s kernel of this sandbox',
    'sys/vm/overcommit_memory': 'the same',
    'sys/net/ipv4/ip_forward': 'the same: of its own network stack, which has nothing but lo',
    ...Object.fromEntries(
      ['kernel', 'fs/cgroup', 'bus', 'module', 'firmware', 'power'].map((name) => [`/sys/${name}`, 'gVisor’s own /sys, empty there']),
    ),
    'its descriptors': 'names only; that none can be opened or copied is shown in spec/walls/engine.spec.ts',
    'its environment': 'the agent’s, which is empty',
  },
  ptrace: {
    'attach to a child': 'a child of the attacker’s, by gVisor’s own ptrace; the first process is out of reach (spec/walls/engine.spec.ts)',
    'be traced': 'the same',
  },
  'raw-sockets': {
    'netlink kobject_uevent': 'a socket on which gVisor says nothing',
    'binding to an interface': 'of gVisor’s own stack',
  },
  'release-agent': {},
  'shared-programs': {},
  'terminal-injection': {},
  'user-namespaces': Object.fromEntries(
    [
      'unshare user',
      'clone user',
      'unshare mount',
      'clone mount',
      'unshare cgroup',
      'clone cgroup',
      'unshare time',
      'unshare user and all',
    ].map((name) => [name, 'namespaces of gVisor’s kernel, which nothing of the host’s knows of']),
  ),
  userfaultfd: {},
}

/*
 * Not here: `first-process`, because root may end the first process of gVisor, and with it this sandbox, which is its own (nobody else’s is touched:
 * neighbours); `neighbours`, which makes two containers; `file-*` and `project-*`, which are attacks on the host’s side of the file API and on the caller’s folder, the
 * same code for every wall; `sudo`, `writable-root` and `rootless`, which this wall has not.
 */

onWall('gvisor', () => {
  let made: Sandbox
  const wall = {
    get sandbox() {
      return made
    },
    run: (command: readonly [string, ...string[]], user: string) => made.commands.run(command, { user, timeoutMs: 60_000 }),
  }
  beforeAll(async () => {
    made = await Sandbox.create({ template: 'base', wall: 'gvisor', timeoutMs: 600_000 })
  })
  afterAll(() => made.kill())

  for (const [file, moot] of Object.entries(GVISOR)) describe(file, () => on({ wall, moot }, () => import(`./${file}.spec.ts`)))
})
