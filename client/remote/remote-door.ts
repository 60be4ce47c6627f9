import { type CreateRequest, type Door, Fault, type Plan } from '@caisson/wire'
import { present } from '../present.ts'
import { onAbort } from '../signals.ts'
import { Control, type ControlOptions, jsonAsk, sandboxPath } from './control.ts'
import { infoOf, type SandboxInfo } from './info.ts'
import { asList, isRecord, type Json, needed, text, texts, wholeJson, wholeText } from './json.ts'
import type { Ask } from './link.ts'
import { refusalIn } from './refusal.ts'
import { RemoteHeld } from './remote-held.ts'
import { Visit } from './visit.ts'

export interface ListOptions {
  /** Absent: both. */
  states?: readonly SandboxInfo['state'][]
  /** All must match. */
  metadata?: Readonly<Record<string, string>>
}

/** The state of a sandbox at one moment. */
export interface Snapshot {
  /** Can be used as `template`. */
  id: string
  names: string[]
}

/** An event in a sandbox. */
export interface LogEntry {
  timestamp: string
  level: string
  message: string
  fields: Record<string, string>
}

/** E2B's wire uses seconds. */
const MS_PER_SECOND = 1000
const CLEAN_UP_MS = 30_000

/** A daemon. It need not be closed: its connections do not keep the process alive. */
export class RemoteDoor implements Door {
  readonly url: URL
  readonly #control: Control

  /** Throws BAD_REQUEST if the address or the key is malformed. */
  constructor(options: ControlOptions) {
    this.#control = new Control(options)
    this.url = this.#control.link.url
  }

  /** Whether a daemon answers; needs no key. Rejects with DAEMON_UNREACHABLE if nothing does. */
  async isAlive(signal: AbortSignal): Promise<boolean> {
    const answer = await this.#control.link.ask({ method: 'GET', path: '/health' }, signal)
    await wholeText(answer, 'health')
    return answer.status >= 200 && answer.status < 300
  }

  async create(request: CreateRequest, signal: AbortSignal): Promise<RemoteHeld> {
    const { leash, ...rest } = request
    const asked = leash === 'host' ? rest : request
    const held = this.#held(await this.#control.json('POST', '/caisson/v1/sandboxes', asked, 'create a sandbox', signal))
    if (leash !== 'host') return held
    try {
      await this.#hold(held.id, signal)
      return held
    } catch (failure) {
      await held.kill(AbortSignal.timeout(CLEAN_UP_MS))
      throw failure
    }
  }

  async plan(request: CreateRequest, signal: AbortSignal): Promise<Plan> {
    return (await this.#control.json('POST', '/caisson/v1/plan', request, 'plan a sandbox', signal)) as unknown as Plan
  }

  /** Attaches to a running sandbox without changing its timeout. Rejects with NOT_FOUND, or with CONFLICT if it is paused. */
  async attach(id: string, signal: AbortSignal): Promise<{ held: RemoteHeld; info: SandboxInfo }> {
    const detail = await this.#control.json('GET', sandboxPath(id), undefined, `find sandbox ${id}`, signal)
    if (detail['state'] === 'paused') {
      throw new Fault('CONFLICT', `sandbox ${id} is paused`, { hint: `Resume it with \`caisson resume ${id}\`.` })
    }
    return { held: this.#held(detail), info: infoOf(detail) }
  }

  /** Extends a running sandbox's timeout (never shortens it), or resumes a paused one. Absent: the daemon's default timeout. */
  async connect(id: string, wish: { timeoutMs?: number | undefined }, signal: AbortSignal): Promise<RemoteHeld> {
    const path = `/v2${sandboxPath(id)}/connect`
    return this.#held(await this.#control.json('POST', path, inSeconds(wish.timeoutMs), `connect to sandbox ${id}`, signal))
  }

  async info(id: string, signal: AbortSignal): Promise<SandboxInfo> {
    return infoOf(await this.#control.json('GET', sandboxPath(id), undefined, `find sandbox ${id}`, signal))
  }

  /** Newest first. Pages are fetched on demand. */
  async *list({ states, metadata }: ListOptions, signal: AbortSignal): AsyncGenerator<SandboxInfo> {
    const what = 'list sandboxes'
    let next: string | undefined
    do {
      const wished = { state: states?.join(','), metadata: metadata && encoded(metadata), nextToken: next }
      const query = new URLSearchParams(present(wished) as Record<string, string>)
      const answer = await this.#control.ask({ method: 'GET', path: `/v2/sandboxes?${query}` }, what, signal)
      yield* asList(await wholeJson(answer, what), what).map(infoOf)
      next = text(answer.headers, 'x-next-token') || undefined
    } while (next !== undefined)
  }

  async setTimeout(id: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const what = `set the timeout of sandbox ${id}`
    await this.#control.done('POST', `${sandboxPath(id)}/timeout`, inSeconds(timeoutMs), what, signal)
  }

  /** Rejects with CONFLICT if it is already paused. */
  async pause(id: string, signal: AbortSignal): Promise<void> {
    await this.#control.done('POST', `${sandboxPath(id)}/pause`, {}, `pause sandbox ${id}`, signal)
  }

  /** Running or paused. Rejects with NOT_FOUND. */
  async kill(id: string, signal: AbortSignal): Promise<void> {
    await this.#control.done('DELETE', sandboxPath(id), undefined, `kill sandbox ${id}`, signal)
  }

  async snapshot(id: string, wish: { name?: string | undefined; memory?: boolean | undefined }, signal: AbortSignal): Promise<Snapshot> {
    const what = `take a snapshot of sandbox ${id}`
    const made = await this.#control.json('POST', `${sandboxPath(id)}/snapshots`, present(wish), what, signal)
    const { names } = made
    return { id: needed(text(made, 'snapshotID'), what, 'its id'), names: Array.isArray(names) ? names.map(String) : [] }
  }

  /** All or none: if one copy fails, the others are ended and the failure is thrown. */
  async fork(
    id: string,
    wish: { count: number; timeoutMs?: number | undefined; memory?: boolean | undefined },
    signal: AbortSignal,
  ): Promise<RemoteHeld[]> {
    const what = `fork sandbox ${id}`
    const ask = jsonAsk('POST', `${sandboxPath(id)}/fork`, {
      ...present({ count: wish.count, memory: wish.memory }),
      ...inSeconds(wish.timeoutMs),
    })
    const made = asList(await wholeJson(await this.#control.ask(ask, what, signal), what), what)
    const forks = made.flatMap(({ sandbox }) => (isRecord(sandbox) ? [this.#held(sandbox)] : []))
    const failure = made.map(({ error }) => error).find(isRecord)
    if (failure === undefined) return forks
    await Promise.all(forks.map((fork) => this.kill(fork.id, AbortSignal.timeout(CLEAN_UP_MS))))
    throw refusalIn(failure, what)
  }

  /** Events from that time on, oldest first, as many as one answer holds. */
  async log(id: string, fromMs: number, signal: AbortSignal): Promise<LogEntry[]> {
    const what = `read the log of sandbox ${id}`
    const { logs } = await this.#control.json('GET', `/v2${sandboxPath(id)}/logs?cursor=${fromMs}`, undefined, what, signal)
    return asList(logs, what).map((entry) => ({
      timestamp: needed(text(entry, 'timestamp'), what, 'a time'),
      level: text(entry, 'level') ?? 'info',
      message: text(entry, 'message') ?? '',
      fields: texts(entry['fields']),
    }))
  }

  /** Caisson's own API; `path` is relative to `/caisson/v1`. */
  async tell(method: Ask['method'], path: string, body: object | undefined, what: string, signal: AbortSignal): Promise<unknown> {
    const answer = await this.#control.ask(jsonAsk(method, `/caisson/v1${path}`, body), what, signal)
    return answer.status === 204 ? void (await wholeText(answer, what)) : await wholeJson(answer, what)
  }

  close(): Promise<void> {
    return this.#control.link.close()
  }

  /** From now on the sandbox ends with this process, however the process ends. */
  async #hold(id: string, signal: AbortSignal): Promise<void> {
    const path = `/caisson/v1${sandboxPath(id)}/leash`
    const leaving = new AbortController()
    const stop = onAbort(signal, () => leaving.abort())
    try {
      const { body } = await this.#control.ask({ method: 'GET', path }, 'leash', leaving.signal)
      void read(body)
    } finally {
      stop()
    }
  }

  #held(sandbox: Json): RemoteHeld {
    const id = needed(text(sandbox, 'sandboxID'), 'a sandbox', 'its id')
    const visit = new Visit(this.#control, id, text(sandbox, 'envdAccessToken'))
    return new RemoteHeld(this, visit, text(sandbox, 'domain') ?? `localhost:${this.url.port}`)
  }
}

/** Reads until it ends. How it ends does not matter: a sandbox outlives its daemon, and its users will notice the loss. */
async function read(body: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const _ of body);
  } catch (failure) {
    if (!(failure instanceof Fault)) throw failure
  }
}

/** Rounded up, so that half a second does not become zero. */
function inSeconds(timeoutMs: number | undefined): { timeout?: number } {
  return timeoutMs === undefined ? {} : { timeout: Math.ceil(timeoutMs / MS_PER_SECOND) }
}

/** As E2B's SDKs do: names and values are encoded, then the whole is encoded as a form. */
function encoded(metadata: Readonly<Record<string, string>>): string {
  const form = new URLSearchParams()
  for (const [name, value] of Object.entries(metadata)) form.append(encodeURIComponent(name), encodeURIComponent(value))
  return form.toString()
}
