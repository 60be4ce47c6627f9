import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { cpus, release } from 'node:os'
import type { Plan } from '@caisson/wire'
import type { Template } from '../templates/template.ts'

/** Increased when states of earlier versions differ from those made now. */
const FORMAT = 5

/**
 * Key of everything that is fixed in a saved state: two sandboxes with the same key can share one. Undefined: a sandbox like this is not restored. gVisor
 * cannot save a state with the host's network, and nothing that the host may change later may be in a state.
 */
export function warmKey(plan: Plan, { generation, zygote, env }: Template): string | undefined {
  const { engine, network, binds, disk, machine } = plan
  if (engine === null || (machine === undefined && (zygote === null || network.mode !== 'none'))) return undefined
  if (binds.some(({ live, mode }) => live === true || mode === 'rw') || (disk.kind === 'image' && disk.take)) return undefined
  const { wall, template, symlinks, files, writable, user, capabilities, noNewPrivileges, limits } = plan
  const { memoryBytes, openFiles, onHit } = limits
  const kernel = machine && {
    ...{ memoryBytes: machine.memoryBytes, cpus: machine.cpus, pids: limits.pids, network: network.mode, disk: disk.bytes },
    parts: [machine.kernel, machine.initrd, machine.usr, machine.shown].map(stamp),
    processor: cpus()[0]?.model ?? '',
  }
  const inside = {
    ...{ wall, template, binds, symlinks, writable, user, capabilities, noNewPrivileges, env },
    files: files.map(({ path, mode }) => [path, mode]),
    limits: { memoryBytes, openFiles, processes: onHit === 'report' ? limits.pids : null },
  }
  const made = [FORMAT, release(), generation, stamp(engine.program), stamp(plan.agent), engine.preload && stamp(engine.preload)]
  return createHash('sha256')
    .update(JSON.stringify([made, engine.version, engine.platform, inside, kernel]))
    .digest('hex')
    .slice(0, 16)
}

/** A stamp that changes with the file. */
function stamp(path: string): string {
  const { dev, ino, size, mtimeMs } = statSync(path)
  return `${path} ${dev} ${ino} ${size} ${mtimeMs}`
}
