import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { type Death, Fault, KeeperEvent, type KeeperRequest, MAX_KEEPER_LINE_BYTES, MAX_PLAN_BYTES, type Plan } from '@caisson/wire'
import { orAborted, type Settled, settled } from '../lifetimes.ts'
import type { Started } from './keepers.ts'
import type { Cell } from './wall.ts'

type Ready = Extract<KeeperEvent, { event: 'ready' }>
type Limit = Extract<KeeperEvent, { event: 'limit' }>
type Asked = Parameters<Cell['ask']>[0]

const NEWLINE = 0x0a
const MAX_SAID_CHARACTERS = 500

/** Told apart by the step that failed (native/keeper/src/order.rs). */
export class LaunchFault extends Fault {
  readonly step: string

  constructor(failed: Extract<KeeperEvent, { event: 'failed' }>) {
    super(failed.code, `${failed.step}: ${failed.message}`, { hint: failed.hint })
    this.step = failed.step
  }
}

/** A keeper that was started with a plan, and all that it says. */
export class Keeper implements Cell {
  readonly agentSocket: string
  readonly #plan: Plan
  readonly #started: Started
  readonly #child: ChildProcess
  readonly #ready = settled<Ready>()
  readonly #death = settled<Death>()
  readonly #limits: ((hit: Limit) => void)[] = []
  readonly #freezes: (() => void)[] = []
  readonly #answers = new Map<number, Settled<Record<string, unknown>>>()
  readonly #startedMs = Date.now()
  #standing: Ready | undefined
  #held: Buffer[] = []
  #heldBytes = 0
  #seq = 0
  #isReleased = false

  constructor(started: Started, plan: Plan) {
    const line = `${JSON.stringify(plan)}\n`
    if (Buffer.byteLength(line) > MAX_PLAN_BYTES) throw new Fault('BAD_REQUEST', `the plan is larger than ${MAX_PLAN_BYTES} bytes`)
    this.#plan = plan
    this.agentSocket = join(plan.dir, 'agent.sock')
    this.#started = started
    this.#child = started.child
    this.#child.on('error', (cause) => this.#gone(`the keeper could not be started: ${cause.message}`, cause))
    this.#child.stdout?.on('data', (chunk: Buffer) => this.#hear(chunk))
    this.#child.on('close', (code, signal) => this.#gone(`the keeper ended with ${signal ?? code} without a word`))
    this.#child.stdin?.write(line)
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

  onLimit(listener: (hit: Limit) => void): void {
    this.#limits.push(listener)
  }

  onFrozen(listener: () => void): void {
    this.#freezes.push(listener)
  }

  async ask(request: Asked, signal: AbortSignal): Promise<Record<string, unknown>> {
    this.#seq += 1
    const answer = settled<Record<string, unknown>>()
    this.#answers.set(this.#seq, answer)
    this.#child.stdin?.write(`${JSON.stringify({ ...request, seq: this.#seq } satisfies KeeperRequest)}\n`)
    return orAborted(answer.promise, signal)
  }

  /** Lets the keeper live on without this process, and this process end without it. */
  release(): void {
    this.#isReleased = true
    this.#child.stdin?.destroy()
    this.#child.stdout?.destroy()
    this.#child.unref()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The end of its input means the end of the sandbox (leash host); the request says why.
    if (this.#plan.leash === 'none') this.#child.kill('SIGTERM')
    else this.#child.stdin?.end(`${JSON.stringify({ seq: -1, op: 'kill', reason: 'kill', detail: 'let go by the host' })}\n`)
    await this.#death.promise
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
      case 'ready':
        this.#standing = event
        return this.#ready.resolve(event)
      case 'failed':
        return this.#ready.reject(new LaunchFault(event))
      case 'limit':
        for (const listener of this.#limits) listener(event)
        return
      case 'frozen':
        for (const listener of this.#freezes) listener()
        return
      case 'death':
        return this.#over(event.death)
      case 'answer': {
        const waiting = this.#answers.get(event.seq)
        this.#answers.delete(event.seq)
        if (event.error === undefined) waiting?.resolve(event.ok ?? {})
        else waiting?.reject(new Fault('LAUNCH_FAILED', event.error))
        return
      }
      default:
        return event satisfies never
    }
  }

  /** What the keeper says is not what a keeper says: it is no keeper of ours any more. */
  #distrust(what: string, cause?: unknown): void {
    this.#child.kill('SIGKILL')
    this.#gone(`the keeper said ${what}`, cause)
  }

  #gone(detail: string, cause?: unknown): void {
    // Its death is nothing that was heard here, and no crash.
    if (this.#isReleased) return
    const words = this.#started.lastWords().slice(-MAX_SAID_CHARACTERS)
    const whole = words === '' ? detail : `${detail}: ${words}`
    this.#ready.reject(new Fault('LAUNCH_FAILED', whole, { cause }))
    const times = { startedMs: this.#startedMs, endedMs: Date.now() }
    this.#over({ id: this.#plan.id, reason: 'crash', detail: whole, ...times, peakMemoryBytes: null, cpuUs: null })
  }

  #over(death: Death): void {
    this.#death.resolve(death)
    const failure = new Fault('SANDBOX_GONE', `the sandbox has ended (${death.reason}): ${death.detail}`)
    for (const waiting of this.#answers.values()) waiting.reject(failure)
    this.#answers.clear()
  }
}
