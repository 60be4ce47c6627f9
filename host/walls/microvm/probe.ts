import { Fault } from '@caisson/wire'
import type { Finding } from '../wall.ts'
import { advisoriesFor, READ_ON } from './advisories.ts'
import { type EngineOptions, machineEngine } from './engine.ts'
import { INSTALL, parts, qemu, SETUP } from './found.ts'
import { initrd } from './initrd.ts'
import { ACCELERATORS, type Accelerator, tryAccelerator } from './trial.ts'

const NEWER = 'install a newer QEMU, of the distribution or of its backports'

/** What this machine has and lacks for the microvm wall: a machine is started by each means that there is. */
export async function probeMicrovm(options: EngineOptions, signal: AbortSignal): Promise<Finding[]> {
  const findings: Finding[] = []
  try {
    const program = await qemu(signal)
    findings.push({ what: 'QEMU', severity: 'fine', detail: `${program.version}, ${program.program}` }, ...known(program.version))
    const found = await parts(options.templates)
    findings.push({ what: 'kernel', severity: 'fine', detail: found.kernel.split('/').at(-1)?.replace('kernel-', '') ?? '' })
    const start = await initrd({ ...options, kernel: found.kernel })
    for (const accelerator of ACCELERATORS) {
      const tried = await tryAccelerator(program, accelerator, { kernel: found.kernel, initrd: start }, signal)
      findings.push(accelerated(accelerator, tried))
    }
    const { engine } = await machineEngine(options, signal)
    const slow = engine?.platform === 'tcg' ? ', which emulates every instruction: slow' : ''
    findings.push({ what: 'engine', severity: 'fine', detail: `QEMU ${engine?.version} by ${engine?.platform}${slow}` })
  } catch (failure) {
    if (!(failure instanceof Fault)) throw failure
    const mend = failure.message.includes('qemu-system') ? INSTALL : SETUP
    findings.push({ what: 'engine', severity: 'missing', detail: failure.message, mend })
  }
  findings.push({ what: 'Firecracker', severity: 'fine', detail: 'not used: this wall has one engine, QEMU' })
  return findings
}

function accelerated(accelerator: Accelerator, tried: Awaited<ReturnType<typeof tryAccelerator>>): Finding {
  const what = `accelerator ${accelerator}`
  if ('why' in tried) return { what, severity: 'degraded', detail: tried.why }
  return { what, severity: 'fine', detail: `started a machine, from nothing to its end, in ${Math.round(tried.ms)} ms` }
}

function known(version: string): Finding[] {
  const found = advisoriesFor(version)
  if (found.length === 0) return [{ what: 'advisories', severity: 'fine', detail: `none known for ${version} (table of ${READ_ON})` }]
  return found.map(({ id, what, mended }): Finding => {
    const detail = `${what}; ${version} is older than its mending (${mended.at(-1)}), unless the distribution mended it under this number`
    return { what: id, severity: 'degraded', detail, mend: NEWER }
  })
}
