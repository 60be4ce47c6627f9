import { Fault } from '@caisson/wire'
import type { Finding } from '../wall.ts'
import { advisoriesFor, READ_ON } from './advisories.ts'
import { type CandidateOptions, candidates } from './candidates.ts'
import { machineEngine } from './engine.ts'
import { INSTALL, parts, SETUP } from './found.ts'
import { initrd } from './initrd.ts'
import type { Tried } from './trial.ts'

const NEWER = 'install a newer QEMU, of the distribution or of its backports'

/** What this machine has and lacks for the microvm wall: starts a machine by each available engine. */
export async function probeMicrovm(options: CandidateOptions, signal: AbortSignal): Promise<Finding[]> {
  const findings: Finding[] = []
  try {
    const { found, passed } = await candidates(options, signal)
    const { kernel } = await parts(options.templates)
    findings.push({ what: 'kernel', severity: 'fine', detail: kernel.split('/').at(-1)?.replace('kernel-', '') ?? '' })
    for (const candidate of found) {
      const { vmm, name, version, program, accelerators, modules, tryBy } = candidate
      findings.push({ what: name, severity: 'fine', detail: `${version}, ${program}` }, ...(vmm === 'qemu' ? known(version) : []))
      const start = await initrd({ ...options, kernel, modules })
      for (const accelerator of accelerators) {
        findings.push(
          accelerated(
            vmm === 'qemu' ? accelerator : `${accelerator} of ${name}`,
            await tryBy(accelerator, { kernel, initrd: start }, signal),
          ),
        )
      }
    }
    findings.push(...passed.map((why): Finding => ({ what: 'passed over', severity: 'degraded', detail: why })))
    const { engine, machine } = await machineEngine(options, signal)
    const slow = engine?.platform === 'tcg' ? ', which emulates every instruction: slow' : ''
    const name = found.find(({ vmm }) => vmm === machine?.vmm)?.name
    findings.push({ what: 'engine', severity: 'fine', detail: `${name} ${engine?.version} by ${engine?.platform}${slow}` })
    if (!found.some(({ vmm }) => vmm === 'firecracker') && passed.length === 0) findings.push(absent(options))
  } catch (failure) {
    if (!(failure instanceof Fault)) throw failure
    findings.push({ what: 'engine', severity: 'missing', ...mending(failure) })
  }
  return findings
}

/** The fix, where it is not a command. */
function mending({ message, line }: Fault): Pick<Finding, 'detail' | 'mend'> {
  if (process.getuid?.() !== 0) return { detail: line }
  if (message.includes('qemu-system')) return { detail: message, mend: INSTALL }
  if (!/firecracker/i.test(message) || message.includes(SETUP)) return { detail: message, mend: SETUP }
  return { detail: line }
}

function absent({ machines }: CandidateOptions): Finding {
  const detail =
    machines === 'qemu' ? 'not looked for: CAISSON_MACHINES=qemu' : 'not found; where there is one that starts a machine, it is used'
  return { what: 'Firecracker', severity: 'fine', detail }
}

function accelerated(accelerator: string, tried: Tried): Finding {
  const what = `accelerator ${accelerator}`
  if ('why' in tried) return { what, severity: 'degraded', detail: tried.why }
  return { what, severity: 'fine', detail: `started a machine, from nothing to its end, in ${Math.round(tried.ms)} ms` }
}

function known(version: string): Finding[] {
  const found = advisoriesFor(version)
  if (found.length === 0) return [{ what: 'advisories', severity: 'fine', detail: `none known for ${version} (table of ${READ_ON})` }]
  return found.map(({ id, what, mended }): Finding => {
    const detail = `${what}; ${version} is older than the fix (${mended.at(-1)}), unless the distribution fixed it under this number`
    return { what: id, severity: 'degraded', detail, mend: NEWER }
  })
}
