import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Death, Fault, KeeperEvent, KeeperHello, type KeeperRequest, MAX_KEEPER_LINE_BYTES, MAX_PLAN_BYTES, type Plan } from '@caisson/wire'
import { Onlookers, orAborted, type Settled, settled } from '../lifetimes.ts'
import type { Cell, Known, Listening } from './wall.ts'

type Ready = Extract<KeeperEvent, { event: 'ready' }>
type Limit = Extract<KeeperEvent, { event: 'limit' }>
type Asked = Parameters<Cell['ask']>[0]

const NEWLINE = 0x0a
/** A sandbox is cleared away in milliseconds, or in seconds on a busy machine. */
const END_MS = 30_000
const MAX_SAID_CHARACTERS = 500
/** Time from SIGKILL until the kernel reports the end. */
const KILL_MS = 5_000

/** The connection to a keeper: the streams of one that was started here, or its socket. */
export interface Line {
  /** Called once, before any write. `over`: nothing more will arrive, with the reason as far as it is known here. */
  listen(heard: (chunk: Buffer) => void, over: (detail: string, cause?: unknown) => void): void
  write(text: string): void
  /** No more requests follow. Events still arrive. */
  end(): void
  /** Disconnects, so that the keeper and this process can outlive each other. */
  release(): void
  /** Called when the other side does not speak the keeper protocol. */
  distrust(): void
  /** The keeper has told its pid. */
  taken(pid: number): void
  /** Kills a keeper that is overdue, if its pid is known. Nothing more is read. */
  kill(): void
  /** What it printed besides events. */
  lastWords(): string
}

/** A failed launch, with the step that failed (native/keeper/src/order.rs). */
export class LaunchFault extends Fault {
  readonly step: string

  constructor(failed: Extract<KeeperEvent, { event: 'failed' }>) {
    super(failed.code, `${failed.step}: ${failed.message}`, { hint: failed.hint })
    this.step = failed.step
  }
}

/** One keeper: the native process that builds a sandbox, holds it and cleans up after it. Its protocol is one JSON object per line. */
export class Keeper implements Cell {
  readonly agentSocket: string
  readonly #plan: Known
  readonly #line: Line
  readonly #ready = settled<Ready>()
  readonly #death = settled<Death>()
  readonly #mourners = new Onlookers(this.#death.promise)
  readonly #limits = new Set<(hit: Limit) => void>()
  readonly #freezes = new Set<() => void>()
  readonly #listening: Listening | undefined
  readonly #answers = new Map<number, Settled<Record<string, unknown>> & Pick<Asked, 'op'>>()
  readonly #startedMs = Date.now()
  #standing: Ready | undefined
  /** Requests to a dead keeper fail with this. */
  #failure: Fault | undefined
  #held: Buffer[] = []
  #heldBytes = 0
  #seq = 0
  #isReleased = false
  /** It froze at its time limit, and has not been thawed since. */
  #isFrozen = false
  /** The last kill request that it has not refused. */
  #asked: { reason: string; detail: string; seq: number } | undefined
  /** Why it had to be killed. */
  #overdue: string | undefined

  private constructor(line: Line, plan: Known, listening?: Listening) {
    this.#plan = plan
    this.#listening = listening
    this.#line = line
    this.agentSocket = join(plan.dir, 'agent.sock')
    line.listen(
      (chunk) => this.#hear(chunk),
      (detail, cause) => void this.#gone(detail, cause),
    )
  }

  /** Gives an idle keeper its plan. */
  static launched(line: Line, plan: Plan, listening?: Listening): Keeper {
    // The reason for the wall is for people only.
    const text = `${JSON.stringify({ ...plan, wallReason: undefined })}\n`
    if (Buffer.byteLength(text) > MAX_PLAN_BYTES) throw new Fault('BAD_REQUEST', `the plan is larger than ${MAX_PLAN_BYTES} bytes`)
    const keeper = new Keeper(line, plan, listening)
    line.write(text)
    return keeper
  }

  /** A keeper that another process launched. Rejects with SANDBOX_GONE when it ends meanwhile. */
  static async adopted(line: Line, plan: Known, signal: AbortSignal): Promise<Keeper> {
    const keeper = new Keeper(line, plan)
    const hello = KeeperHello.safeParse(await keeper.ask({ op: 'hello' }, signal))
    if (!hello.success) {
      keeper.#distrust('something else than hello', hello.error)
      throw new Fault('SANDBOX_GONE', `what answers for ${plan.id} is no keeper`, { cause: hello.error })
    }
    if (hello.data.pid !== undefined) line.taken(hello.data.pid)
    keeper.#standing = hello.data.ready
    keeper.#ready.resolve(hello.data.ready)
    return keeper
  }

  get ready(): Ready {
    if (this.#standing === undefined) throw new Fault('INTERNAL', 'the wall does not stand yet')
    return this.#standing
  }

  get death(): Promise<Death> {
    return this.#death.promise
  }

  /** Resolves when the sandbox runs. Rejects with the step that failed; by then the keeper has cleaned up and ended. */
  async standing(signal: AbortSignal): Promise<this> {
    await orAborted(this.#ready.promise, signal)
    return this
  }

  onDeath(listener: (death: Death) => void): () => void {
    return this.#mourners.add(listener)
  }

  onLimit(listener: (hit: Limit) => void): () => void {
    this.#limits.add(listener)
    return () => this.#limits.delete(listener)
  }

  /** Also notifies a listener that is added while the sandbox is frozen: the event is sent once, and may arrive between two listeners. */
  onFrozen(listener: () => void): () => void {
    this.#freezes.add(listener)
    if (this.#isFrozen) queueMicrotask(() => this.#freezes.has(listener) && listener())
    return () => this.#freezes.delete(listener)
  }

  async ask(request: Asked, signal: AbortSignal): Promise<Record<string, unknown>> {
    if (this.#failure !== undefined) throw this.#failure
    this.#seq += 1
    if (request.op === 'kill') this.#asked = { ...request, seq: this.#seq }
    const answer = settled<Record<string, unknown>>()
    this.#answers.set(this.#seq, { ...answer, op: request.op })
    this.#say({ ...request, seq: this.#seq })
    return orAborted(answer.promise, signal)
  }

  release(): void {
    this.#isReleased = true
    this.#line.release()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end(END_MS)
  }

  /** Ends the sandbox. A keeper that does not clear it away in time is killed, and `Wall.sweep` handles the rest. */
  async end(patienceMs: number): Promise<void> {
    if (this.#failure !== undefined || this.#isReleased) return
    // A keeper that was asked already reports the death on this line, so the line stays open.
    if (this.#asked === undefined) {
      this.#asked = { reason: 'kill', detail: 'let go by the host', seq: -1 }
      this.#say({ seq: -1, op: 'kill', reason: 'kill', detail: this.#asked.detail })
      this.#line.end()
    }
    if (await this.#diesWithin(patienceMs)) return
    const { reason, detail } = this.#asked
    this.#overdue = `its keeper, which was to end it (${reason}: ${detail}), did not within ${patienceMs / 1000} s, and was killed`
    this.#line.kill()
    // The kernel may delay the kill for longer; nothing can be done about that.
    if (!(await this.#diesWithin(KILL_MS))) await this.#gone('the keeper could not be killed')
  }

  async #diesWithin(patienceMs: number): Promise<boolean> {
    const over = settled<boolean>()
    const timer = setTimeout(() => over.resolve(false), patienceMs)
    const stop = this.#mourners.add(() => over.resolve(true))
    const dies = await over.promise
    clearTimeout(timer)
    stop()
    return dies
  }

  #say(request: KeeperRequest): void {
    this.#line.write(`${JSON.stringify(request)}\n`)
  }

  #hear(chunk: Buffer): void {
    let rest = chunk
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      const line = Buffer.concat([...this.#held, rest.subarray(0, end)])
      this.#held = []
      this.#heldBytes = 0
      rest = rest.subarray(end + 1)
      this.#read(line)
    }
    this.#heldBytes += rest.length
    if (rest.length > 0) this.#held.push(rest)
    if (this.#heldBytes > MAX_KEEPER_LINE_BYTES) this.#distrust('a line without end')
  }

  #read(line: Buffer): void {
    let event: KeeperEvent
    try {
      event = KeeperEvent.parse(JSON.parse(line.toString('utf8')))
    } catch (cause) {
      return this.#distrust('a line that is not an event', cause)
    }
    switch (event.event) {
      case 'taken':
        return this.#line.taken(event.pid)
      case 'listening':
        return this.#listening?.(this.agentSocket)
      case 'ready':
        this.#standing = event
        return this.#ready.resolve(event)
      case 'failed':
        return this.#ready.reject(new LaunchFault(event))
      case 'limit':
        for (const listener of this.#limits) listener(event)
        return
      case 'frozen':
        this.#isFrozen = true
        for (const listener of this.#freezes) listener()
        return
      case 'death':
        return this.#over(event.death)
      case 'answer': {
        const waiting = this.#answers.get(event.seq)
        this.#answers.delete(event.seq)
        if (event.error === undefined && waiting?.op === 'thaw') this.#isFrozen = false
        // If its disk cannot be kept, the sandbox lives on.
        if (event.error !== undefined && event.seq === this.#asked?.seq) this.#asked = undefined
        if (event.error === undefined) waiting?.resolve(event.ok ?? {})
        else waiting?.reject(new Fault(event.code ?? 'LAUNCH_FAILED', event.error, event.hint === undefined ? {} : { hint: event.hint }))
        return
      }
      default:
        return event satisfies never
    }
  }

  /** Stops trusting this keeper after a protocol violation. */
  #distrust(what: string, cause?: unknown): void {
    this.#line.distrust()
    void this.#gone(`the keeper said ${what}`, cause)
  }

  /** A death record on disk counts, even if the keeper could not send it. */
  async #gone(detail: string, cause?: unknown): Promise<void> {
    // After a release, a lost connection is neither a death nor a crash.
    if (this.#isReleased) return
    const words = this.#line.lastWords().slice(-MAX_SAID_CHARACTERS)
    const why = this.#overdue ?? detail
    const whole = words === '' ? why : `${why}: ${words}`
    this.#ready.reject(new Fault('LAUNCH_FAILED', whole, { cause }))
    const times = { startedMs: this.#startedMs, endedMs: Date.now() }
    const crash: Death = { id: this.#plan.id, reason: 'crash', detail: whole, ...times, peakMemoryBytes: null, cpuUs: null }
    this.#over((await recordedDeath(this.#plan)) ?? crash)
  }

  #over(death: Death): void {
    this.#death.resolve(death)
    this.#failure ??= new Fault('SANDBOX_GONE', `the sandbox has ended (${death.reason}): ${death.detail}`)
    for (const waiting of this.#answers.values()) waiting.reject(this.#failure)
    this.#answers.clear()
  }
}

/** The death record; undefined if the keeper did not get to write one. */
export async function recordedDeath({ deathRecord }: Pick<Plan, 'deathRecord'>): Promise<Death | undefined> {
  try {
    return Death.parse(JSON.parse(await readFile(deathRecord, 'utf8')))
  } catch {
    return undefined
  }
}
