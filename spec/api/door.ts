import { type Call, type Route, readJson, sendJson, type Visit } from '../../host/api/call.ts'
import type { ControlRooms } from '../../host/api/control-rooms.ts'
import type { Parts } from '../../host/api/parts.ts'
import { FrontDoor, type ServerOptions } from '../../host/api/server.ts'
import type { Entered, Fleet } from '../../host/sandbox/fleet.ts'
import type { LiveSandbox } from '../../host/sandbox/life.ts'
import { NO_QUOTAS, type Owner, type SandboxRecord, type Traffic } from '../../host/sandbox/record.ts'
import { Meters } from '../../host/telemetry/meters.ts'
import { noTraces } from '../../host/telemetry/telemetry.ts'
import { Fault } from '../../wire/index.ts'

export const KEY = 'e2b_00112233445566778899aabbccddeeff00112233'
export const OPERATOR_KEY = 'e2b_ffeeddccbbaa99887766554433221100ffeeddcc'
export const TRAFFIC_TOKEN = 'traffic-token-of-a-sandbox'

/** A shape that takes whatever is JSON. */
const ANYTHING = { safeParse: (data: unknown) => ({ success: true, data }) } as unknown as Parameters<typeof readJson>[1]

const leastWall = 'container'
const owners = new Map<string, Owner>([
  [KEY, { name: 'somebody', keyId: 'k1', operator: false, quotas: NO_QUOTAS, leastWall }],
  [OPERATOR_KEY, { name: 'operator', keyId: 'k0', operator: true, quotas: NO_QUOTAS, leastWall }],
])

export interface FakeSandbox {
  live?: LiveSandbox
  traffic?: Partial<Traffic>
  /** Instead of letting anybody in. */
  refusal?: Fault
}

/** The front door alone, with sandboxes that only say who they are unless a live one is given. */
export class Door implements AsyncDisposable {
  readonly sandboxes = new Map<string, FakeSandbox>()
  readonly logged: Record<string, unknown>[] = []
  readonly routes: Route[] = []
  serveEnvd: (visit: Visit) => Promise<void> = echo('envd')
  serveInterpreter: (visit: Visit) => Promise<void> = echo('interpreter')
  findSigned: (call: Call, fleet: Fleet) => SandboxRecord | undefined = () => undefined
  readonly #leaves = new Map<string, Set<() => void>>()
  #front: FrontDoor | undefined

  static async open(change: (door: Door) => void = () => undefined, options: Partial<ServerOptions> = {}, domain: string | null = null) {
    const door = new Door()
    door.routes.push(
      {
        method: 'GET',
        path: '/sandboxes/:id',
        handle: async (call) => sendJson(call.reply, 200, { ...call.params, owner: call.owner.name }),
      },
      { method: 'POST', path: '/echo', handle: async (call) => sendJson(call.reply, 200, { json: await readJson(call, ANYTHING) }) },
    )
    change(door)
    const complete = { host: '127.0.0.1', port: 0, drainMs: 500, ...options }
    door.#front = await FrontDoor.open(door.#parts(domain), complete, new AbortController().signal)
    return door
  }

  get port(): number {
    return this.#front?.port ?? 0
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** The sandbox is paused or has ended. */
  leave(id: string): void {
    this.sandboxes.delete(id)
    for (const leave of this.#leaves.get(id) ?? []) leave()
    this.#leaves.delete(id)
  }

  close(): Promise<void> {
    return this.#front?.close() ?? Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #parts(domain: string | null): Parts {
    const note = (level: string) => (fields: object, message: string) => void this.logged.push({ level, message, ...fields })
    const log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') }
    return {
      rooms: { fleet: this.#fleet(), domain, control: {} as ControlRooms },
      telemetry: { ...noTraces, log, meters: new Meters() },
      routes: this.routes,
      ownerOf: (key) => owners.get(key),
      serveEnvd: (visit) => this.serveEnvd(visit),
      serveInterpreter: (visit) => this.serveInterpreter(visit),
      findSigned: (call, fleet) => this.findSigned(call, fleet),
    }
  }

  #fleet(): Fleet {
    const ownerOf = (id: string) => (this.sandboxes.has(id) ? 'somebody' : undefined)
    return { ownerOf, enter: async (id: string) => this.#enter(id) } as unknown as Fleet
  }

  #enter(id: string): Entered {
    const found = this.sandboxes.get(id)
    if (found === undefined) throw new Fault('SANDBOX_GONE', `${id} is not here`)
    if (found.refusal !== undefined) throw found.refusal
    const leaves = this.#leaves.get(id) ?? new Set()
    this.#leaves.set(id, leaves)
    return {
      record: recordOf(id, found),
      live: found.live as LiveSandbox,
      onLeave: (leave) => {
        leaves.add(leave)
        return () => leaves.delete(leave)
      },
    }
  }
}

export function recordOf(id: string, { traffic }: FakeSandbox = {}): SandboxRecord {
  const whole: Traffic = { public: true, maskRequestHost: null, httpsPorts: [], ...traffic }
  return { id, traffic: whole, accessToken: 'access-token-of-a-sandbox', trafficToken: TRAFFIC_TOKEN } as unknown as SandboxRecord
}

function echo(who: string) {
  return async ({ request, reply, entered, port, query }: Visit) => {
    sendJson(reply, 200, {
      who,
      id: entered.record.id,
      port,
      url: request.url,
      query: Object.fromEntries(query),
      body: await textOf(request),
    })
  }
}

export async function textOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of stream) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}
