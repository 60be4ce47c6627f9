import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Death } from '@caisson/wire'
import { Denials } from './airlock/denials.ts'
import { Exits, sweepExits } from './airlock/exits.ts'
import { Secrets } from './airlock/secrets.ts'
import { AuditLog } from './audit/log.ts'
import { freshDeadline } from './lifetimes.ts'
import { Admission } from './sandbox/admission.ts'
import { Creating } from './sandbox/creating.ts'
import { WarmStates } from './sandbox/warm-states.ts'
import { Zygotes } from './sandbox/zygote.ts'
import { Scanner } from './scan/scanner.ts'
import type { Settings } from './settings.ts'
import type { Traces } from './telemetry/telemetry.ts'
import { Keepers } from './walls/keepers.ts'
import { answers } from './walls/supervised.ts'
import { Walls } from './walls/walls.ts'

export const SWEEP_MS = 60_000
/** How long death records that no host has read are kept. */
const KEEP_DEATHS_MS = 7 * 86_400_000
/** Far longer than a zygote takes to start, so that a new one is never taken for dead. */
const KEEP_ZYGOTES_MS = 86_400_000

/** The parts of every host, daemon or not. Disposing it ends the zygotes on its leash, and no sandbox. */
export interface Rooms extends AsyncDisposable {
  readonly settings: Settings
  readonly auditLog: AuditLog
  readonly walls: Pick<Walls, keyof Walls>
  readonly creating: Creating
  readonly exits: Exits
  readonly secrets: Secrets
  readonly denials: Denials
  readonly notice: (line: string) => void
}

export interface RoomOptions {
  idKind: 'i' | 'e'
  notice: (line: string) => void
  traces: Traces
}

/** Opens the parts in order. Throws AUDIT_UNWRITABLE or AUDIT_FOREIGN; then nothing has been started. */
export function openRooms(settings: Settings, { idKind, notice, traces }: RoomOptions): Rooms {
  const auditLog = openLog(settings)
  const record = ({ id, reason, detail }: Death) => auditLog.append({ kind: 'death', sandbox: id, reason, detail })
  const keepers = new Keepers(settings.keeper, settings.home)
  const walls = new Walls({ ...settings, keepers }, record)
  const zygotes = new Zygotes({ settings, auditLog, walls, notice })
  const admission = new Admission(settings.home)
  const warm = new WarmStates({ settings, auditLog, walls, admission, notice, lasts: idKind === 'i' })
  const secrets = new Secrets(settings.home)
  const denials = new Denials()
  const exits = new Exits({
    home: settings.home,
    owner: idKind === 'i' ? 'daemon' : String(process.pid),
    secrets,
    searcher: settings.searcher,
    notice,
    extraAuthorities: settings.extraAuthorities,
    operatorAllowed: settings.allowPrivate,
    clientEnvironment: settings.clientEnvironment,
    record: (entry) => {
      auditLog.append(entry)
      denials.tell(entry)
    },
  })
  const scanner = new Scanner(settings.scanning)
  const creating = new Creating({ settings, auditLog, walls, zygotes, warm, exits, scanner, denials, idKind, notice, traces })
  return {
    settings,
    auditLog,
    walls,
    creating,
    exits,
    secrets,
    denials,
    notice,
    async [Symbol.asyncDispose]() {
      await warm[Symbol.asyncDispose]()
      await exits[Symbol.asyncDispose]()
      await scanner[Symbol.asyncDispose]()
      await zygotes[Symbol.asyncDispose]()
      await keepers[Symbol.asyncDispose]()
      auditLog[Symbol.dispose]()
    },
  }
}

/** The audit log of the state folder. Throws AUDIT_UNWRITABLE or AUDIT_FOREIGN. */
export function openLog({ home, recorder, audit }: Settings): AuditLog {
  return new AuditLog({ folder: join(home, 'audit'), recorder, ...audit })
}

/** Removes what earlier hosts left: unfinished recordings, sandboxes without a keeper, zygotes of earlier template builds, and unread death records. */
export async function sweep({ walls, settings, auditLog }: Pick<Rooms, 'walls' | 'settings' | 'auditLog'>): Promise<void> {
  auditLog.terminals.sealOrphans()
  await walls.sweepOrphans(freshDeadline(SWEEP_MS))
  await sweepExits(settings.home)
  const zygotes = join(settings.home, 'zygotes')
  for (const name of await readdir(zygotes)) {
    const dir = join(zygotes, name)
    const found = await stat(dir).catch(() => undefined)
    const isOld = found?.isDirectory() === true && Date.now() - found.mtimeMs > KEEP_ZYGOTES_MS
    if (isOld && !(await answers(join(dir, 'keeper.sock')))) await walls.sweepDead(dir)
  }
  const deaths = join(settings.home, 'deaths')
  for (const name of await readdir(deaths)) {
    const path = join(deaths, name)
    // Another host may read and remove it at this moment.
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined && Date.now() - found.mtimeMs > KEEP_DEATHS_MS) await rm(path, { force: true })
  }
}
