import { Fault } from '@caisson/wire'
import * as caisson from '../../host/api/caisson/shelf.ts'
import type { ApiRooms } from '../../host/api/call.ts'
import * as control from '../../host/api/control/shelf.ts'
import { TeamHistory } from '../../host/api/control/team-history.ts'
import type { Tag, Tags } from '../../host/api/control-rooms.ts'
import { hashOfKey, type KeyRecord, type Keys, type KeyWish, matchingKey, newKey } from '../../host/api/keys.ts'
import type { Parts } from '../../host/api/parts.ts'
import { FrontDoor } from '../../host/api/server.ts'
import { StoredReplays } from '../../host/api/stored-replays.ts'
import { NO_QUOTAS, type Owner } from '../../host/sandbox/record.ts'
import type { Store } from '../../host/store/store.ts'
import { Meters } from '../../host/telemetry/meters.ts'
import { noTraces } from '../../host/telemetry/telemetry.ts'
import { FleetDouble, planOf } from './fleet-double.ts'

const nowhere: Store = {
  put: async () => undefined,
  remove: async () => undefined,
  all: async () => [],
  [Symbol.asyncDispose]: async () => undefined,
}

/** The routes on a port of this machine, over a fleet that is none. */
export class ControlServer implements AsyncDisposable {
  readonly fleet = new FleetDouble()
  readonly keys = new KeysDouble()
  readonly rooms: ApiRooms
  #door: FrontDoor | undefined

  constructor(auditLog = '/nowhere/audit.jsonl') {
    const names: Record<string, string> = {
      base: 'base',
      'code-interpreter': 'code-interpreter',
      'code-interpreter-v1': 'code-interpreter',
    }
    this.rooms = {
      fleet: this.fleet,
      domain: 'sbx.example:8000',
      control: {
        maxTimeoutMs: 24 * 3_600_000,
        auditLog,
        proxied: async (network, password) =>
          network.proxy === undefined || password === undefined
            ? network
            : { ...network, proxy: { ...network.proxy, sealed: `sealed:${password.length}` } },
        record: () => undefined,
        templates: {
          named: (name) => names[name],
          built: async () => [
            { name: 'base', aliases: [], languages: ['bash'], generation: '00000001', builtMs: 1000 },
            {
              name: 'code-interpreter',
              aliases: ['code-interpreter-v1'],
              languages: ['python'],
              generation: '00000002',
              builtMs: 2000,
            },
          ],
        },
        tags: new TagsDouble(),
        keys: this.keys,
        snapshotRoom: () => ({ used: { count: 2, bytes: 3_000_000 }, most: { count: null, bytes: 5_000_000 } }),
        replays: new StoredReplays(nowhere),
        teams: new TeamHistory(() => this.fleet.live()),
        profiles: async () => [profile],
        plan: async (request) => planOf('iaaaaaaaaaaaaaaaaaaa', request.template ?? 'base', 1000),
        doctor: async () => ({
          home: '/secret',
          walls: [],
          templates: [],
          snapshots: { count: 0, bytes: 0, freeBytes: 0 },
          allowPrivate: [],
        }),
      },
    }
  }

  async listen(): Promise<string> {
    const say = () => undefined
    const parts: Parts = {
      rooms: this.rooms,
      telemetry: { ...noTraces, log: { debug: say, info: say, warn: say, error: say }, meters: new Meters() },
      routes: [...Object.values(control), ...Object.values(caisson)],
      ownerOf: (key) => this.keys.ownerOf(key),
      serveEnvd: () => Promise.reject(new Error('there is nothing in a double')),
      serveInterpreter: () => Promise.reject(new Error('there is nothing in a double')),
      findSigned: () => undefined,
    }
    this.#door = await FrontDoor.open(parts, { host: '127.0.0.1', port: 0, drainMs: 0 }, new AbortController().signal)
    return this.url
  }

  get url(): string {
    return `http://127.0.0.1:${this.#door?.port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#door?.close()
  }
}

const profile = {
  name: 'e2b',
  description: 'as E2B',
  wall: 'container' as const,
  template: 'base',
  network: 'none' as const,
  limits: {
    timeoutMs: 300_000,
    memoryMiB: 512,
    cpus: 2,
    pids: 128,
    diskMiB: 1024,
    outputMiB: 64,
    openFiles: 1024,
    onHit: 'report' as const,
  },
  leash: 'none' as const,
  files: 'scratch' as const,
  root: 'read-only' as const,
  noNewPrivileges: false,
  seccomp: { allowUserNamespaces: false },
  folder: null,
  scan: { mode: 'off' as const, banned: false },
  audit: { commands: true, maxMiB: 16 },
}

class KeysDouble implements Keys {
  readonly #kept: { record: KeyRecord; hash: Buffer }[] = []

  list(): KeyRecord[] {
    return this.#kept.map(({ record }) => record)
  }

  add(owner: string, operator = false): string {
    const key = newKey()
    const id = `k${this.#kept.length}`
    this.#kept.push({
      record: { id, owner, operator, quotas: NO_QUOTAS, leastWall: 'container', createdMs: Date.now() },
      hash: hashOfKey(key),
    })
    return key
  }

  async create(wish: KeyWish) {
    const key = this.add(wish.owner, wish.operator)
    const last = this.#kept.at(-1)
    if (last === undefined) throw new Error('it was just added')
    last.record = { ...last.record, quotas: wish.quotas, leastWall: wish.leastWall }
    return { record: last.record, key }
  }

  async revoke(id: string): Promise<void> {
    const index = this.#kept.findIndex(({ record }) => record.id === id)
    if (index < 0) throw new Fault('NOT_FOUND', `no key ${id}`)
    this.#kept.splice(index, 1)
  }

  ownerOf(key: string): Owner | undefined {
    const found = matchingKey(key, this.#kept)?.record
    return found && { name: found.owner, keyId: found.id, operator: found.operator, quotas: found.quotas, leastWall: found.leastWall }
  }
}

class TagsDouble implements Tags {
  readonly #tags = new Map<string, Tag[]>()

  list(template: string, owner: Owner): Tag[] {
    return this.#tags.get(`${owner.name} ${template}`) ?? []
  }

  async assign(template: string, tags: readonly string[], owner: Owner): Promise<void> {
    await this.remove(template, tags, owner)
    const added = tags.map((tag) => ({ tag, createdMs: Date.now() }))
    this.#tags.set(`${owner.name} ${template}`, [...this.list(template, owner), ...added])
  }

  async remove(template: string, tags: readonly string[], owner: Owner): Promise<void> {
    const kept = this.list(template, owner).filter(({ tag }) => !tags.includes(tag))
    this.#tags.set(`${owner.name} ${template}`, kept)
  }
}
