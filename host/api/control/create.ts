import { Fault, wallNamed } from '@caisson/wire'
import { z } from 'zod'
import type { Wish } from '../../sandbox/fleet.ts'
import type { Lifecycle, SandboxRecord } from '../../sandbox/record.ts'
import { StrictCreateRequest } from '../../sandbox/request.ts'
import { type OwnedCall, type Route, readJson, sendJson } from '../call.ts'
import { DEFAULT_TIMEOUT_S, lifeMs } from './life.ts'
import { egressOf, NetworkConfig, saysEgress, trafficOf } from './network.ts'
import { sandboxBody } from './shapes.ts'
import { knownTemplate } from './template-reference.ts'

/** The profile of E2B-compatible sandboxes. */
export const E2B_PROFILE = 'e2b'

/** How an E2B client selects the wall (docs/guide/walls.md). */
const WALL_HEADER = 'x-caisson-wall'
const WALL_METADATA = 'caisson.wall'

const Body = z.strictObject({
  templateID: z.string().min(1).max(256),
  timeout: z.int().optional(),
  metadata: StrictCreateRequest.shape.metadata,
  envVars: StrictCreateRequest.shape.env,
  secure: z.boolean().optional(),
  allow_internet_access: z.boolean().optional(),
  network: NetworkConfig.optional(),
  autoPause: z.boolean().optional(),
  autoPauseMemory: z.boolean().optional(),
  autoResume: z.strictObject({ enabled: z.boolean() }).nullish(),
  /** Ignored: the SDK starts the MCP gateway itself, with a command in the sandbox, and reports if there is none. */
  mcp: z.record(z.string(), z.unknown()).nullish(),
  volumeMounts: z.array(z.strictObject({ name: z.string(), path: z.string() })).optional(),
  iam: z.strictObject({ tokens: z.record(z.string(), z.unknown()).optional() }).nullish(),
})
type Body = z.infer<typeof Body>

const IdempotencyKey = z.string().regex(/^[A-Za-z0-9_-]{1,255}$/)

export const createSandbox: Route = route('v1', '/sandboxes')
export const createSandboxV2: Route = route('v2', '/v2/sandboxes')

function route(generation: 'v1' | 'v2', path: string): Route {
  return {
    method: 'POST',
    path,
    async handle(call) {
      const body = await readJson(call, Body)
      const wish = await wishOf(body, generation, call)
      const record = await createOnce(wish, { ...body, wall: wish.request.wall }, call)
      sendJson(call.reply, 201, sandboxBody(record, call))
    },
  }
}

/** Creates a sandbox, or returns the one that an earlier request with the same Idempotency-Key created. */
export async function createOnce(wish: Wish, body: unknown, call: OwnedCall): Promise<SandboxRecord> {
  const { fleet, control } = call.rooms
  const header = call.request.headers['idempotency-key']
  if (header === undefined) return fleet.create(wish, call.owner, call.signal)
  const key = IdempotencyKey.safeParse(header)
  if (!key.success) throw new Fault('BAD_REQUEST', 'Idempotency-Key: 1 to 255 of letters, digits, - and _')
  const id = await control.replays.once(call.owner.name, key.data, body, async () => (await fleet.create(wish, call.owner, call.signal)).id)
  const record = fleet.find(id, call.owner)
  if (record.state !== 'gone') return record
  throw new Fault('CONFLICT', `the sandbox that was created with this Idempotency-Key (${id}) has ended`, { hint: 'Use another key.' })
}

async function wishOf(body: Body, generation: 'v1' | 'v2', call: OwnedCall): Promise<Wish> {
  refuseUnserved(body)
  if (generation === 'v2' && body.secure === false) throw new Fault('BAD_REQUEST', 'secure: sandboxes of this route are always secured')
  const secure = body.secure ?? true
  const traffic = trafficOf(body.network)
  const said = await wayOut(body, call)
  if (!traffic.public && !secure) throw new Fault('BAD_REQUEST', 'network.allowPublicTraffic: false needs a secured sandbox (secure: true)')
  return {
    request: {
      profile: E2B_PROFILE,
      template: knownTemplate(body.templateID, 'templateID', call).name,
      env: body.envVars ?? {},
      metadata: body.metadata ?? {},
      ...wallOf(body, call),
      leash: 'none',
      ...(said === null ? {} : { network: said.network }),
    },
    egress: said?.egress ?? {},
    timeoutMs: lifeMs(body.timeout ?? DEFAULT_TIMEOUT_S[generation], 'timeout', call),
    lifecycle: lifecycleOf(body),
    traffic,
    secure,
  }
}

/** The wall, for which E2B's API has no field. The header applies to the whole client and the metadata to one sandbox, so the metadata wins. */
function wallOf({ metadata }: Body, { request }: OwnedCall): { wall?: string } {
  const wall = metadata?.[WALL_METADATA] ?? request.headers[WALL_HEADER]
  if (wall === undefined) return {}
  if (typeof wall === 'string') return { wall: wallNamed(wall) }
  throw new Fault('BAD_REQUEST', `${WALL_HEADER}: said more than once`)
}

/** Null: the request does not say, so the profile decides. */
async function wayOut({ network = {}, allow_internet_access }: Body, call: OwnedCall) {
  if (allow_internet_access === undefined && !saysEgress(network)) return null
  const { allowPublicTraffic: _, maskRequestHost: __, httpsPorts: ___, ...egress } = network
  const asked = { ...egress, ...(allow_internet_access === undefined ? {} : { allow_internet_access }) }
  return await egressOf(asked, 'network.', call)
}

function lifecycleOf({ autoPause = false, autoPauseMemory, autoResume }: Body): Lifecycle {
  if (autoPauseMemory === false && !autoPause) throw new Fault('BAD_REQUEST', 'autoPauseMemory: false needs autoPause: true')
  if (autoPauseMemory === false && autoResume?.enabled) {
    throw new Fault(
      'BAD_REQUEST',
      'autoPauseMemory: false cannot go with autoResume: a sandbox without its memory is not resumed by traffic',
    )
  }
  return { onTimeout: autoPause ? 'pause' : 'kill', pauseMemory: autoPauseMemory ?? true, autoResume: autoResume?.enabled ?? false }
}

/** Known fields that a self-hosted machine cannot serve yet. They are refused rather than ignored. */
function refuseUnserved({ volumeMounts, iam }: Body): void {
  if (volumeMounts?.length) {
    throw new Fault('UNSUPPORTED', 'volumeMounts: there are no volumes here', {
      hint: 'Upload files, create from a snapshot, or have an operator mount a folder (POST /caisson/v1/sandboxes).',
    })
  }
  if (Object.keys(iam?.tokens ?? {}).length > 0) {
    throw new Fault('UNSUPPORTED', 'iam.tokens: there is nobody here who issues workload tokens', {
      hint: 'Pass a token of your own in envVars.',
    })
  }
}
