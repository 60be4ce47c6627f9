import { Fault, type Machine } from '@caisson/wire'
import { firecracker, noFirecracker, tryFirecracker, VSOCK } from './firecracker.ts'
import { qemu } from './found.ts'
import type { InitrdOptions } from './initrd.ts'
import type { Machines } from './machines.ts'
import { ACCELERATORS, type Accelerator, type From, type Tried, tryAccelerator } from './trial.ts'
import { isAtLeast, type Trusted } from './trusted.ts'

export interface CandidateOptions extends Omit<InitrdOptions, 'kernel' | 'modules'> {
  readonly templates: string
  /** For a QEMU that cannot map memory read-only by itself. */
  readonly readonlyLibrary: string
  readonly machines: Machines
  /** The only Firecracker to use; null: the first of the usual places. */
  readonly firecracker: string | null
}

/** The first QEMU that maps memory read-only by itself (`rom=off` of memory-backend-file). */
const READS_BY_ITSELF = [8, 2] as const

/** A program that may run machines here, and how to try it. */
export interface Candidate extends Trusted {
  readonly vmm: Machine['vmm']
  /** Display name. */
  readonly name: string
  /** In the order in which they are tried. */
  readonly accelerators: readonly Accelerator[]
  /** Folders of kernel modules that its machines need. */
  readonly modules: readonly string[]
  readonly reader: string | null
  readonly tryBy: (accelerator: Accelerator, from: From, signal: AbortSignal) => Promise<Tried>
}

export interface Candidates {
  /** In the order in which they are tried. */
  readonly found: readonly Candidate[]
  /** Why others are not among them. */
  readonly passed: readonly string[]
}

/** Rejects with WALL_UNAVAILABLE where there is none, or not the one that was asked for. */
export async function candidates(options: CandidateOptions, signal: AbortSignal): Promise<Candidates> {
  const wanted = options.machines === 'auto' ? (['firecracker', 'qemu'] as const) : [options.machines]
  const found: Candidate[] = []
  const passed: string[] = []
  let last: unknown
  for (const vmm of wanted) {
    try {
      const candidate = vmm === 'qemu' ? ofQemu(await qemu(signal), options) : await ofFirecracker(options, signal)
      if (candidate !== undefined) found.push(candidate)
    } catch (failure) {
      if (!(failure instanceof Fault)) throw failure
      last = failure
      passed.push(failure.message.replace('microvm: ', ''))
    }
  }
  if (found.length === 0) throw last
  return { found, passed }
}

function ofQemu(program: Trusted, { readonlyLibrary }: CandidateOptions): Candidate {
  return {
    ...program,
    vmm: 'qemu',
    name: 'QEMU',
    accelerators: ACCELERATORS,
    modules: ['modules'],
    reader: isAtLeast(program.version, READS_BY_ITSELF) ? null : readonlyLibrary,
    tryBy: (accelerator, from, cancel) => tryAccelerator(program, accelerator, from, cancel),
  }
}

/** Undefined: there is none, and none was asked for. */
async function ofFirecracker({ machines, firecracker: named }: CandidateOptions, signal: AbortSignal): Promise<Candidate | undefined> {
  const program = await firecracker(named, signal)
  if (program === undefined && machines === 'firecracker') throw noFirecracker()
  return (
    program && {
      ...program,
      vmm: 'firecracker',
      name: 'Firecracker',
      accelerators: ['kvm'],
      modules: ['modules', VSOCK],
      reader: null,
      tryBy: (_, from, cancel) => tryFirecracker(program, from, cancel),
    }
  )
}
