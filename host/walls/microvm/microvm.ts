import { z } from 'zod'
import { KeptOptions, kept } from '../kept.ts'
import type { Wall } from '../wall.ts'
import { machineEngine } from './engine.ts'
import { MACHINES } from './machines.ts'
import { probeMicrovm } from './probe.ts'

const Folder = z.string().startsWith('/')
const Options = KeptOptions.extend({
  ...{ agent: Folder, programs: Folder, templates: Folder, cache: Folder, readonlyLibrary: Folder },
  machines: z.enum(MACHINES),
  firecracker: z.string().startsWith('/', 'CAISSON_FIRECRACKER is an absolute path').nullable(),
})
type Options = z.infer<typeof Options>

/**
 * A virtual machine with its own kernel for each sandbox: QEMU or Firecracker. The keeper holds that program in namespaces, ids and cgroups as it does a
 * container, without capabilities and behind a seccomp filter. Only QEMU saves states (host/sandbox/machine.ts).
 */
export const microvm: Wall<Options> = {
  name: 'microvm',
  options: Options,
  promises: { kernel: 'own', snapshot: 'memory', pty: true, rootless: false, sudo: false, forks: false, mounts: false, restores: 'mapped' },
  probe: probeMicrovm,
  engine: machineEngine,
  ...kept,
}
