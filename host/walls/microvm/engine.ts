import { readFile, rename, writeFile } from 'node:fs/promises'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { Engine, Fault, Machine } from '@caisson/wire'
import { z } from 'zod'
import type { Built } from '../wall.ts'
import { type Candidate, type CandidateOptions, candidates } from './candidates.ts'
import { parts } from './found.ts'
import { initrd } from './initrd.ts'

/** The choice, as remembered on disk. */
const Chosen = z.strictObject({ engine: Engine, vmm: Machine.shape.vmm })
type Chosen = z.infer<typeof Chosen>
const Remembered = z.strictObject({ key: z.string(), chosen: Chosen })

/** Results of this process, by the options that they were found with. */
const known = new Map<string, Promise<Chosen>>()

/** The engine that started a machine here, and the parts of machines. Rejects with WALL_UNAVAILABLE. */
export async function machineEngine(options: CandidateOptions, signal: AbortSignal): Promise<Built> {
  const { kernel, usr } = await parts(options.templates)
  const { found } = await candidates(options, signal)
  const key = JSON.stringify([options.machines, found.map(({ stamp }) => stamp), kernel, release(), cpus()[0]?.model ?? ''])
  const place = JSON.stringify([key, options.templates])
  const before = known.get(place)
  const tried = before ?? choose(found, key, kernel, options, signal)
  if (before === undefined) {
    known.set(place, tried)
    // A failure is not cached: the cause may be fixed later.
    tried.catch(() => known.delete(place))
  }
  const { engine, vmm } = await tried
  const candidate = found.find((one) => one.vmm === vmm)
  if (candidate === undefined) throw new Fault('WALL_UNAVAILABLE', `microvm: ${vmm} is not there any more`)
  const start = await initrd({ ...options, kernel, modules: candidate.modules })
  return { engine, machine: { vmm, kernel: join(kernel, 'vmlinux'), initrd: start, usr, reader: candidate.reader } }
}

async function choose(
  found: readonly Candidate[],
  key: string,
  kernel: string,
  options: CandidateOptions,
  signal: AbortSignal,
): Promise<Chosen> {
  const memory = join(options.templates, 'machine', 'engine.json')
  const before = await remembered(memory, key)
  if (before !== undefined) return before
  const reasons: string[] = []
  for (const { vmm, program, version, accelerators, modules, tryBy } of found) {
    const start = await initrd({ ...options, kernel, modules })
    for (const platform of accelerators) {
      const tried = await tryBy(platform, { kernel, initrd: start }, signal)
      if ('ms' in tried) {
        const chosen: Chosen = { engine: { program, version, platform, preload: null, traces: false, warm: null }, vmm }
        const beside = `${memory}.${process.pid}`
        await writeFile(beside, JSON.stringify({ key, chosen }), { mode: 0o644 })
        await rename(beside, memory)
        return chosen
      }
      reasons.push(`${program} by ${platform}: ${tried.why}`)
    }
  }
  throw new Fault('WALL_UNAVAILABLE', `microvm: no machine starts: ${reasons.join('; ')}`, { hint: mending(found, options) })
}

/** A KVM that exists but starts nothing can only be fixed on the machine that this virtual machine runs on. */
function mending(found: readonly Candidate[], { machines }: CandidateOptions): string {
  const again = '`caisson doctor` tries it again.'
  if (machines !== 'firecracker' || found.length === 0) return again
  return `Firecracker needs a KVM that starts machines: \`modprobe -a kvm_intel kvm_amd tun\`, and nested virtualization where this host is a machine itself; or let QEMU run machines (CAISSON_MACHINES=qemu). ${again}`
}

async function remembered(path: string, key: string): Promise<Chosen | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  try {
    const before = Remembered.parse(JSON.parse(text))
    return before.key === key ? before.chosen : undefined
  } catch {
    // Written by another version, or truncated: try again.
    return undefined
  }
}
