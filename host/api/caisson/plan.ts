import type { CreateRequest, Plan } from '@caisson/wire'
import { type OwnedCall, type Route, readJson, sendJson } from '../call.ts'
import { findTemplate } from '../control/template-reference.ts'
import { CaissonCreateBody, granted } from './create.ts'

const HIDDEN = '/-'

/** The plan that a creation would hand to a keeper; nothing is built. Only operators are shown paths on this machine. */
export const planSandbox: Route = {
  method: 'POST',
  path: '/caisson/v1/plan',
  async handle(call) {
    const body = await readJson(call, CaissonCreateBody)
    const asked = { ...granted(body, call), ...(body.timeoutMs === undefined ? {} : { timeoutMs: body.timeoutMs }) }
    const { network, ...whole } = ofSnapshot(body.template, call)
    const wanted = asked.network ?? network
    const plan = await call.rooms.control.plan({ ...asked, ...whole, ...(wanted === undefined ? {} : { network: wanted }) }, call.signal)
    sendJson(call.reply, 200, call.owner.operator ? plan : withoutHost(plan))
  },
}

/** A snapshot stands for the template that its sandbox was created from, and has the size of its own disk. */
function ofSnapshot(template: string | undefined, call: OwnedCall): CreateRequest {
  const named = template === undefined ? undefined : findTemplate(template, 'template', call)
  if (named?.kind !== 'snapshot') return {}
  const { template: of, diskMiB, network } = named.snapshot
  return { template: of, diskMiB, ...(network === null ? {} : { network }) }
}

function withoutHost(plan: Plan): Plan {
  return {
    ...plan,
    dir: HIDDEN,
    deathRecord: HIDDEN,
    agent: HIDDEN,
    engine:
      plan.engine === null
        ? null
        : {
            ...plan.engine,
            program: HIDDEN,
            preload: plan.engine.preload && HIDDEN,
            warm: plan.engine.warm && {
              ...plan.engine.warm,
              folder: HIDDEN,
              ...(plan.engine.warm.op === 'restore' && plan.engine.warm.mother !== undefined && { mother: HIDDEN }),
            },
          },
    ...(plan.machine === undefined ? {} : { machine: { ...plan.machine, kernel: HIDDEN, initrd: HIDDEN, usr: HIDDEN, shown: HIDDEN } }),
    root: plan.root.kind === 'overlay' ? { ...plan.root, ground: HIDDEN, usr: HIDDEN } : plan.root,
    network: plan.network.mode === 'gate' ? { ...plan.network, airlock: HIDDEN, inspect: HIDDEN } : plan.network,
    binds: plan.binds.map((bind) => ({ ...bind, source: HIDDEN })),
    disk: plan.disk.kind === 'image' ? { ...plan.disk, image: HIDDEN } : plan.disk,
    audit: { ...plan.audit, log: HIDDEN },
    zygote: plan.zygote === null ? null : { ...plan.zygote, socket: HIDDEN },
  }
}
