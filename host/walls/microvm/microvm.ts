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
 * A machine of its own for each sandbox, with a kernel of its own: QEMU or Firecracker, itself held by the keeper in the namespaces, ids and control groups that a
 * container has, with no capability and behind a filter of system calls. States are saved by QEMU alone (host/sandbox/machine.ts).
 */
export const microvm: Wall<Options> = {
  name: 'microvm',
  options: Options,
  promises: { kernel: 'own', snapshot: 'memory', pty: true, rootless: false, sudo: false, forks: false, mounts: false, restores: 'mapped' },
  probe: probeMicrovm,
  engine: machineEngine,
  ...kept,
}
