import { Death, EndReason, Fault, within } from '@caisson/wire'
import { cancelled } from '../signals.ts'
import { type Control, sandboxPath } from './control.ts'
import { isRecord, type Json, number, text, time, wholeText } from './json.ts'
import type { Answer, Ask } from './link.ts'
import { refusal } from './refusal.ts'

/** Ports of the services inside a sandbox; the numbers are E2B's. */
export const PORT = { agent: 49983, interpreter: 49999 } as const
export type Port = (typeof PORT)[keyof typeof PORT]

/** The state of a sandbox, as its daemon knows it. */
export interface Standing {
  state: 'running' | 'paused' | 'gone'
  death: Death | undefined
}

/** A request to a sandbox. */
interface Asked extends Ask {
  /** The user inside. */
  user?: string | undefined
  /** Skips the wait for a watch that is being set up, because it is the request that sets it up. */
  isAhead?: boolean | undefined
}

/** After a connection broke off, how long to keep asking what became of the sandbox. */
const ASKING_MS = 10_000

/** Requests to one sandbox through one daemon, and the diagnosis when there is no answer. */
export class Visit {
  readonly id: string
  readonly control: Control
  readonly #token: string | undefined
  readonly #settingUp = new Set<Promise<void>>()

  /** `token` is the sandbox's own access token. */
  constructor(control: Control, id: string, token: string | undefined) {
    this.control = control
    this.id = id
    this.#token = token
  }

  /** Delays all later requests until `done` settles, since requests on separate connections have no order. */
  after(done: Promise<unknown>): void {
    const settled = done.then(
      () => undefined,
      () => undefined,
    )
    this.#settingUp.add(settled)
    void settled.then(() => this.#settingUp.delete(settled))
  }

  /** Rejects with the Fault that an unsuccessful answer stands for, or with SANDBOX_GONE or CONFLICT if the sandbox cannot answer. */
  async ask(port: Port, ask: Asked, what: string, signal: AbortSignal): Promise<Answer> {
    const answer = await this.attempt(port, ask, signal)
    if (answer.status >= 200 && answer.status < 300) return answer
    throw await refusal(answer, what)
  }

  /** The same, but returns an unsuccessful answer, unless it says that the sandbox cannot answer. */
  async attempt(port: Port, ask: Asked, signal: AbortSignal): Promise<Answer> {
    const { user, isAhead = false, ...rest } = ask
    if (!isAhead && this.#settingUp.size > 0) await Promise.all(this.#settingUp)
    const headers = { ...this.#headers(port, user), ...ask.headers }
    let answer: Answer
    try {
      answer = await this.control.link.ask({ ...rest, headers }, signal)
    } catch (failure) {
      throw await this.explain(failure, signal)
    }
    if (answer.status !== 502) return { ...answer, body: this.#explained(answer.body, signal) }
    throw await this.explain(await refusal(answer, `sandbox ${this.id}`), signal)
  }

  async standing(signal: AbortSignal): Promise<Standing> {
    const what = `sandbox ${this.id}`
    try {
      return standingOf(this.id, await this.control.json('GET', `/caisson/v1${sandboxPath(this.id)}`, undefined, what, signal))
    } catch (failure) {
      if (!(failure instanceof Fault && failure.code === 'NOT_FOUND')) throw failure
      return { state: 'gone', death: unknownDeath(this.id) }
    }
  }

  /** Determines why a request to the sandbox failed: the sandbox ended, it is paused, or only the connection failed. */
  async explain(failure: unknown, signal: AbortSignal): Promise<Fault> {
    if (!(failure instanceof Fault)) return new Fault('INTERNAL', `sandbox ${this.id} could not be spoken to`, { cause: failure })
    if (failure.code !== 'DAEMON_UNREACHABLE') return failure
    if (signal.aborted) return cancelled(signal)
    try {
      const asking = within(ASKING_MS, signal)
      const health = await this.control.link.ask({ method: 'GET', path: '/health', headers: this.#headers(PORT.agent, undefined) }, asking)
      await wholeText(health, 'health')
      if (health.status !== 502) return failure
      return notThere(this.id, await this.standing(asking), failure)
    } catch (asked) {
      if (signal.aborted) return cancelled(signal)
      // The daemon does not answer this either, so the first failure is the one to report.
      return asked instanceof Fault && asked.code !== 'DAEMON_UNREACHABLE' && asked.code !== 'CANCELLED' ? asked : failure
    }
  }

  async *#explained(body: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      yield* body
    } catch (failure) {
      throw await this.explain(failure, signal)
    }
  }

  #headers(port: Port, user: string | undefined): Record<string, string> {
    return {
      'e2b-sandbox-id': this.id,
      'e2b-sandbox-port': String(port),
      ...(this.#token === undefined ? {} : { 'x-access-token': this.#token }),
      ...(user === undefined ? {} : { authorization: `Basic ${Buffer.from(`${user}:`).toString('base64')}` }),
    }
  }
}

function notThere(id: string, { state, death }: Standing, cause: Fault): Fault {
  if (state === 'gone') {
    return new GoneFault(death ?? unknownDeath(id), cause)
  }
  if (state === 'running') return cause
  return new Fault('CONFLICT', `sandbox ${id} is paused`, { hint: `Resume it: \`caisson resume ${id}\`, or Sandbox.connect.`, cause })
}

/** SANDBOX_GONE, with everything known about the end. */
export class GoneFault extends Fault {
  readonly death: Death

  constructor(death: Death, cause: unknown) {
    const detail = death.detail === '' ? '' : `: ${death.detail}`
    super('SANDBOX_GONE', `the sandbox has ended (${death.reason})${detail}`, { cause })
    this.death = death
  }
}

function standingOf(id: string, record: Json): Standing {
  const state = record['state']
  if (state === 'running' || state === 'paused') return { state, death: undefined }
  return { state: 'gone', death: deathOf(id, record) }
}

/** The keeper's own record if there is one, otherwise what the daemon's store remembers. */
function deathOf(id: string, record: Json): Death {
  const kept = isRecord(record['death']) ? Death.safeParse(record['death']) : undefined
  if (kept?.success) return kept.data
  const reason = EndReason.safeParse(record['reason'])
  const startedMs = time(record, 'startedAt') ?? number(record, 'startedMs') ?? 0
  return {
    ...unknownDeath(id),
    reason: reason.success ? reason.data : 'exit',
    detail: text(record, 'detail') ?? '',
    startedMs,
    endedMs: time(record, 'goneAt') ?? number(record, 'goneMs') ?? startedMs,
  }
}

/** The daemon remembers ended sandboxes only for some time. */
export function unknownDeath(id: string): Death {
  return { id, reason: 'abandoned', detail: 'the daemon knows nothing of it', startedMs: 0, endedMs: 0, peakMemoryBytes: null, cpuUs: null }
}
