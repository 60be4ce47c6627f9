import { KeptOptions, kept } from './kept.ts'
import { probeContainer } from './probe.ts'
import type { Wall } from './wall.ts'

/** Namespaces, cgroups, capabilities, seccomp and Landlock of the host's own kernel, set up and held by the keeper. */
export const container: Wall<KeptOptions> = {
  name: 'container',
  options: KeptOptions,
  promises: { kernel: 'shared', snapshot: 'files', pty: true, rootless: true, sudo: true, forks: true, mounts: true, restores: 'no' },
  probe: probeContainer,
  engine: () => Promise.resolve({ engine: null }),
  ...kept,
}
