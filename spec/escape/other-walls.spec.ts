import { afterAll, beforeAll, describe } from 'vitest'
import { type Granted, OWN_KERNEL } from '../../client/attacks/own-kernel.ts'
import { Sandbox } from '../../client/index.ts'
import { onWall } from '../walls/every-wall.ts'
import { on } from './attack.ts'

/**
 * The attacks of the other files, on a wall with a kernel of its own, in one sandbox. A way that comes through there has come to that kernel, not to
 * the host's: those are named in client/attacks/own-kernel.ts, with what they are worth, for `caisson attack` too.
 */
const FILES = [
  'abstract-sockets',
  'bpf',
  'clock',
  'core-pattern',
  'descriptors',
  'devices',
  'host-environment',
  'host-files',
  'host-name',
  'host-processes',
  'ids',
  'io-uring',
  'kernel-calls',
  'kernel-log',
  'keyrings',
  'machine-languages',
  'memfd-secret',
  'mounts',
  'network',
  'perf-events',
  'privileges',
  'proc-and-sys',
  'ptrace',
  'raw-sockets',
  'release-agent',
  'shared-programs',
  'terminal-injection',
  'user-namespaces',
  'userfaultfd',
] as const

/** Of attacks that only these specs have. */
const DEVICES = {
  'in /dev/shm': 'a node of gVisor’s: opened, it is a device that gVisor has, or none',
  '/dev/fuse': 'gVisor’s own FUSE, for its own kernel',
  '/dev/net/tun': 'a device of gVisor’s own network stack',
  'any other device': 'the same two',
}
const MOOT: Granted = { ...OWN_KERNEL.gvisor, 'making device nodes': DEVICES, 'devices of the host': DEVICES }

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

  // Read anew: files of a worker share its modules, and one that was read for itself registers nothing a second time.
  for (const file of FILES) describe(file, () => on({ wall, moot: MOOT }, () => import(`./${file}.spec.ts?elsewhere`)))
})
