import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Death, Fault, KeeperEvent, KeeperHello, type KeeperRequest, MAX_KEEPER_LINE_BYTES, MAX_PLAN_BYTES, type Plan } from '@caisson/wire'
import { Onlookers, orAborted, type Settled, settled } from '../lifetimes.ts'
import type { Cell, Known, Listening } from './wall.ts'

type Ready = Extract<KeeperEvent, { event: 'ready' }>
type Limit = Extract<KeeperEvent, { event: 'limit' }>
type Asked = Parameters<Cell['ask']>[0]

const NEWLINE = 0x0a
/** A sandbox that is let go of is cleared away in milliseconds, or in seconds where the machine is busy. */
const END_MS = 30_000
const MAX_SAID_CHARACTERS = 500
/** Between a kill and the kernel's word of it. */
const KILL_MS = 5_000

/** What carries the conversation: the streams of a keeper that was started here, or its socket. */
export interface Line {
  /** Called once, before anything is written. `over`: nothing more will be heard; why, as far as is known here. */
  listen(heard: (chunk: Buffer) => void, over: (detail: string, cause?: unknown) => void): void
  write(text: string): void
  /** Nothing more will be asked. What happens is still heard. */
  end(): void
  /** The keeper lives on without this process, and this process ends without it. */
  release(): void
  /** What was heard is not what a keeper says. */
  distrust(): void
  /** It has said who it is. */
  taken(pid: number): void
  /** It has not ended when it should have: it is killed, as far as it is known, and nothing more is heard. */
  kill(): void
  /** What it said that was no event. */
  lastWords(): string
}

/** Told apart by the step that failed (native/keeper/src/order.rs). */
export class LaunchFault extends Fault {
  readonly step: string

  constructor(failed: Extract<KeeperEvent, { event: 'failed' }>) {
    super(failed.code, `${failed.step}: ${failed.message}`, { hint: failed.hint })
    this.step = failed.step
  }
}

/** A keeper, and all that it says. */
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
  /** What is asked of one that is dead fails with this. */
  #failure: Fault | undefined
  #held: Buffer[] = []
  #heldBytes = 0
  #seq = 0
  #isReleased = false
  /** Its time was over, and it has not gone on since. */
  #isFrozen = false
  /** What it was asked to end the sandbox for, and has not refused. */
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

  /** Gives a keeper that does nothing yet its plan. */
  static launched(line: Line, plan: Plan, listening?: Listening): Keeper {
    // Why it is this wall is for people.
    const text = `${JSON.stringify({ ...plan, wallReason: undefined })}\n`
    if (Buffer.byteLength(text) > MAX_PLAN_BYTES) throw new Fault('BAD_REQUEST', `the plan is larger than ${MAX_PLAN_BYTES} bytes`)
    const keeper = new Keeper(line, plan, listening)
    line.write(text)
    return keeper
  }

  /** One that another process launched. Rejects with SANDBOX_GONE when it ends meanwhile. */
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

  /** Rejects with the step that failed; then the keeper has ended and taken everything with it. */
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

  /** Whoever comes to listen when it stands still already hears of it, too: it is said once, and may be said between two who listen. */
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

  /** One that has not cleared its sandbox away by then is killed; what it leaves is for `Wall.sweep`. */
  async end(patienceMs: number): Promise<void> {
    if (this.#failure !== undefined || this.#isReleased) return
    // One that was asked to already says last how it ended, and says it on a line that both hold.
    if (this.#asked === undefined) {
      this.#asked = { reason: 'kill', detail: 'let go by the host', seq: -1 }
      this.#say({ seq: -1, op: 'kill', reason: 'kill', detail: this.#asked.detail })
      this.#line.end()
    }
    if (await this.#diesWithin(patienceMs)) return
    const { reason, detail } = this.#asked
    this.#overdue = `its keeper, which was to end it (${reason}: ${detail}), did not within ${patienceMs / 1000} s, and was killed`
    this.#line.kill()
    // The kernel may hold on to one for longer, and then nothing helps.
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
        // Where its disk cannot be kept, it goes on.
        if (event.error !== undefined && event.seq === this.#asked?.seq) this.#asked = undefined
        if (event.error === undefined) waiting?.resolve(event.ok ?? {})
        else waiting?.reject(new Fault('LAUNCH_FAILED', event.error))
        return
      }
      default:
        return event satisfies never
    }
  }

  /** It is no keeper of ours any more. */
  #distrust(what: string, cause?: unknown): void {
    this.#line.distrust()
    void this.#gone(`the keeper said ${what}`, cause)
  }

  /** What it recorded counts, even if it could not say it here any more. */
  async #gone(detail: string, cause?: unknown): Promise<void> {
    // Its death is nothing that was heard here, and no crash.
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

/** Undefined when its keeper did not come to write one. */
export async function recordedDeath({ deathRecord }: Pick<Plan, 'deathRecord'>): Promise<Death | undefined> {
  try {
    return Death.parse(JSON.parse(await readFile(deathRecord, 'utf8')))
  } catch {
    return undefined
  }
}
