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

/**
 * A kernel of its own, in user space: `runsc` answers the system calls of those inside, and is itself held by the keeper in the namespaces,
 * ids and control groups that a container has.
 */
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
