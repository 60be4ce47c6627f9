import { z } from 'zod'
import { KeptOptions, kept } from '../kept.ts'
import type { Wall } from '../wall.ts'
import { gvisorEngine } from './engine.ts'
import { probeGvisor } from './probe.ts'
import { unpackState } from './unpacked-state.ts'

const Options = KeptOptions.extend({
  runsc: z.string().startsWith('/', 'CAISSON_RUNSC is an absolute path').nullable(),
  agent: z.string().startsWith('/'),
  preloadLibrary: z.string().startsWith('/'),
  cache: z.string().startsWith('/'),
})
type Options = z.infer<typeof Options>

/** A kernel in user space: `runsc` handles the system calls of the guest. The keeper holds runsc in namespaces, ids and cgroups as it does a container. */
export const gvisor: Wall<Options> = {
  name: 'gvisor',
  options: Options,
  promises: {
    kernel: 'emulated',
    snapshot: 'files',
    pty: true,
    rootless: true,
    sudo: false,
    forks: false,
    mounts: true,
    restores: 'copied',
  },
  probe: probeGvisor,
  engine: async (options, signal) => ({ engine: await gvisorEngine(options, signal) }),
  easeState: unpackState,
  ...kept,
}
