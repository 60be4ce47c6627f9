import { Fault } from '@caisson/wire'
import { z } from 'zod'
import type { Wish } from '../../sandbox/fleet.ts'
import { StrictCreateRequest } from '../../sandbox/request.ts'
import { type OwnedCall, type Route, readJson, sendJson } from '../call.ts'
import { createOnce } from '../control/create.ts'
import { atMostMs, DEFAULT_TIMEOUT_S } from '../control/life.ts'
import { sandboxBody } from '../control/shapes.ts'
import { knownTemplate } from '../control/template-reference.ts'

export const CaissonCreateBody = StrictCreateRequest.extend({
  lifecycle: z
    .strictObject({
      onTimeout: z.enum(['kill', 'pause']).default('kill'),
      pauseMemory: z.boolean().default(true),
      autoResume: z.boolean().default(false),
    })
    .default({ onTimeout: 'kill', pauseMemory: true, autoResume: false }),
})
type Body = z.infer<typeof CaissonCreateBody>

/** Creates a sandbox with every option that Caisson has, in its own terms. */
export const createCaissonSandbox: Route = {
  method: 'POST',
  path: '/caisson/v1/sandboxes',
  async handle(call) {
    const body = await readJson(call, CaissonCreateBody)
    const record = await createOnce(await wishOf(body, call), body, call)
    sendJson(call.reply, 201, sandboxBody(record, call))
  },
}

/** The options of the request that this caller may have for a daemon's sandbox. Throws ACCESS_DENIED, BAD_REQUEST, TEMPLATE_UNKNOWN. */
export function granted({ lifecycle: _, timeoutMs: __, template, folder, ...rest }: Body, call: OwnedCall): Wish['request'] {
  if (rest.mounts?.length && !call.owner.operator) {
    throw new Fault('ACCESS_DENIED', 'mounts: only an operator may show folders of this machine to a sandbox', {
      hint: 'Upload the files, or use the key of an operator.',
    })
  }
  // Otherwise a caller could have stored secrets sent to a host of its own.
  if (typeof rest.network === 'object' && 'credentials' in rest.network && !call.owner.operator) {
    throw new Fault('ACCESS_DENIED', 'network.credentials: only an operator may have stored secrets put on requests', {
      hint: 'Use a profile of the operator’s that names them, or the key of an operator.',
    })
  }
  if (rest.leash === 'host') {
    throw new Fault('BAD_REQUEST', 'leash: sandboxes of a daemon outlive it', {
      hint: 'Leave it out and set timeoutMs, or read /caisson/v1/sandboxes/ID/leash for as long as it is to live.',
    })
  }
  const named = template === undefined ? {} : { template: knownTemplate(template, 'template', call).name }
  // A folder on this machine is only for operators; for others it is ignored, whether or not the profile would show it.
  const shown = folder === undefined || !call.owner.operator ? {} : { folder }
  return { ...present(rest), ...named, ...shown, leash: 'none' }
}

async function wishOf(body: Body, call: OwnedCall): Promise<Wish> {
  const { onTimeout, pauseMemory, autoResume } = body.lifecycle
  if (!pauseMemory && (onTimeout !== 'pause' || autoResume)) {
    throw new Fault('BAD_REQUEST', 'lifecycle.pauseMemory: false needs onTimeout: "pause", and cannot go with autoResume')
  }
  return {
    request: granted(body, call),
    timeoutMs: await timeoutOf(body, call),
    lifecycle: body.lifecycle,
    egress: null,
    traffic: { public: true, maskRequestHost: null, httpsPorts: [] },
    secure: true,
  }
}

async function timeoutOf({ timeoutMs, profile }: Body, { rooms, signal }: OwnedCall): Promise<number> {
  if (timeoutMs === null)
    throw new Fault('BAD_REQUEST', 'timeoutMs: a sandbox of a daemon has an end', { hint: 'Name one, and move it when you need to.' })
  if (timeoutMs !== undefined) return atMostMs(timeoutMs, rooms.control.maxTimeoutMs, 'timeoutMs')
  const chosen = (await rooms.control.profiles(signal)).find(({ name }) => name === (profile ?? 'default'))
  return Math.min(chosen?.limits.timeoutMs ?? DEFAULT_TIMEOUT_S.v2 * 1000, rooms.control.maxTimeoutMs)
}

/** Drops undefined members. */
function present<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}
