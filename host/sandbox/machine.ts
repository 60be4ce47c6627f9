import { Fault, type Machine, type Plan, type WallName } from '@caisson/wire'
import type { Template } from '../templates/template.ts'
import type { MachineFacts } from './plan.ts'
import type { Profile } from './profile.ts'
import type { StrictCreateRequest } from './request.ts'

const MIB = 1024 * 1024
/** What the guest kernel takes for itself, with the agent, the programs of the runtimes and some headroom. */
const KERNEL_MIB = 112
/** With less than this, a machine starts a shell, and nothing more. With 18, gVisor's own kernel (runsc of 2022) was killed five times of five; with 20, not. */
const LEAST_MEMORY_MIB: Partial<Record<WallName, number>> = { gvisor: 32, microvm: 64 }
/** QEMU's microvm has no more (hw/i386/microvm.c), and an emulated one gains nothing from many. */
const MOST_CPUS = 8

/** Pure. The machine of a sandbox behind a microvm wall. Throws BAD_REQUEST or TEMPLATE_NOT_BUILT. */
export function planMachine(
  { wall }: Pick<MachineFacts, 'wall'>,
  { name, shown }: Template,
  { memoryMiB, cpus }: Pick<Profile['limits'], 'memoryMiB' | 'cpus'>,
): Machine | undefined {
  if (wall.machine === undefined) return undefined
  if (memoryMiB === null)
    throw new Fault('BAD_REQUEST', `memoryMiB: behind wall ${wall.name} it is the size of a machine, and must be a number`)
  if (shown === null) {
    throw new Fault('TEMPLATE_NOT_BUILT', `template ${name} has no image for machines`, {
      hint: 'Build it with `./caisson setup`, as root.',
    })
  }
  const memoryBytes = (memoryMiB + KERNEL_MIB) * MIB
  return { ...wall.machine, shown, memoryBytes, cpus: Math.min(MOST_CPUS, Math.max(1, Math.ceil(cpus ?? 1))) }
}

/** Throws BAD_REQUEST: a wall that has a kernel of its own within the limit needs memory for that. */
export function refuseLittleMemory({ wall }: Pick<MachineFacts, 'wall'>, memoryMiB: number | null): void {
  const least = LEAST_MEMORY_MIB[wall.name]
  if (least === undefined || memoryMiB === null || memoryMiB >= least) return
  throw new Fault('BAD_REQUEST', `memoryMiB: ${memoryMiB} is too small for wall ${wall.name}, which needs ${least}`)
}

/** Whether its engine can save and restore its state. */
export function savesStates({ machine }: Pick<Plan, 'machine'>): boolean {
  return machine?.vmm !== 'firecracker'
}

/** Such a wall cannot show host folders, and a mount that cannot be had is an error, never left out silently. Throws UNSUPPORTED. */
export function refuseMounts({ mounts }: Pick<StrictCreateRequest, 'mounts'>, { wall, trust }: Pick<MachineFacts, 'wall' | 'trust'>): void {
  if (mounts !== undefined && mounts.length > 0) {
    throw new Fault('UNSUPPORTED', `mounts: wall ${wall.name} shows no folders of the host`, {
      hint: 'Copy files in and out (`--in`, `--out`, files of the SDK), or choose the wall gvisor.',
    })
  }
  if (trust !== null) {
    throw new Fault('UNSUPPORTED', `network: wall ${wall.name} cannot be made to trust what looks into its connections`, {
      hint: 'Use rules of names and ports only, or choose the wall gvisor.',
    })
  }
}
