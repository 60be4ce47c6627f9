import type { Plan } from '@caisson/wire'
import { withoutSeal } from '../airlock/egress-proxy.ts'
import type { Exits } from '../airlock/exits.ts'
import type { AuditLog } from '../audit/log.ts'
import type { Settings } from '../settings.ts'
import type { Decided } from './deciding.ts'
import type { ShownFolder } from './folder.ts'
import type { Given } from './given.ts'
import { newId, newMachineId } from './ids.ts'
import { planSandbox } from './plan.ts'

export interface PlannedParts {
  readonly settings: Settings
  readonly auditLog: AuditLog
  readonly exits: Pick<Exits, 'sockets'>
  readonly idKind: 'i' | 'e'
}

/** The plan for these decisions on this machine, with a new id and machine id. */
export function planned(
  { settings, auditLog, exits, idKind }: PlannedParts,
  { profile, template, egress, wall, trust }: Decided,
  shown: ShownFolder,
  zygoteSocket: string | null,
  given: Given = {},
): Plan {
  return planSandbox(shown.request, profile, template, {
    root: settings.uid === 0,
    home: settings.home,
    agent: settings.agent,
    auditLog: auditLog.path,
    id: given.id ?? newId(idKind),
    machineId: newMachineId(),
    zygoteSocket,
    kept: given.kept ?? null,
    onWall: given.onWall ?? 'end',
    airlock: egress === null ? null : { ...exits.sockets, policy: withoutSeal(egress.file) },
    wall,
    trust,
    shown,
  })
}
