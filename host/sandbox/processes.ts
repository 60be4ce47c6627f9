import { Fault, type Output, type Process, type ProcessExit, type StartRequest } from '@caisson/wire'
import type { FoundProcess } from '../agent/process.ts'
import { killNow, unending } from '../lifetimes.ts'
import { Broadcast, type Reader } from './broadcast.ts'
import { readLabel, writeLabel } from './process-label.ts'

/** How long the end of a process can be asked for. */
const KEEP_ENDED_MS = 30_000
/** Ended processes kept per sandbox; the oldest is forgotten first. */
const MAX_ENDED = 256
/** The longest time that a timer can count. A longer one is no limit. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** How a process ended. `isLate`: its time limit was hit. `failure`: it was lost with its sandbox. */
export type ProcessEnd = { exit: ProcessExit; isLate: boolean } | { failure: unknown }
export type ProcessReader = Reader<Output, ProcessEnd>

/** What a process was started with. For an adopted process, arguments may be truncated and its environment is unknown. */
export interface ProcessFacts {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string | undefined
  readonly tag: string | undefined
  readonly pty: boolean
  readonly stdin: boolean
}

export type ProcessSelector = { readonly pid: number } | { readonly tag: string }

/** The sandbox, as its processes see it. */
export interface ProcessesParts {
  start(request: StartRequest, signal: AbortSignal): Promise<Process>
  find(signal: AbortSignal): Promise<FoundProcess[]>
  attach(found: FoundProcess, signal: AbortSignal): Promise<Process>
}

/** One command. Any number of clients may listen to it, write to it, and reconnect later. */
export class RunningProcess {
  readonly pid: number
  readonly facts: ProcessFacts
  /** Resolves, never rejects. */
  readonly ended: Promise<ProcessEnd>
  readonly #process: Process
  readonly #output = new Broadcast<Output, ProcessEnd>()
  #isStdinOpen: boolean
  #timer: NodeJS.Timeout | undefined
  #isLate = false

  /** Starts reading the output at once, whether or not anybody listens. `first` listens from the first byte. */
  constructor(process: Process, facts: ProcessFacts, deadlineMs: number | undefined, first?: (reader: ProcessReader) => void) {
    this.pid = process.pid
    this.facts = facts
    this.#process = process
    this.#isStdinOpen = facts.stdin
    first?.(this.#output.listen())
    const leftMs = deadlineMs === undefined ? Number.POSITIVE_INFINITY : deadlineMs - Date.now()
    if (leftMs <= MAX_TIMER_MS) this.#timer = setTimeout(() => this.#timeUp(), Math.max(leftMs, 0))
    this.ended = this.#run()
  }

  listen(): ProcessReader {
    return this.#output.listen()
  }

  /** Rejects with NOT_FOUND once it has ended. */
  signal(number: number, signal: AbortSignal): Promise<void> {
    return this.#process.signal(number, signal)
  }

  resize(size: { columns: number; rows: number }, signal: AbortSignal): Promise<void> {
    if (!this.facts.pty) throw new Fault('BAD_REQUEST', `process ${this.pid} has no terminal`)
    return this.#process.resize(size, signal)
  }

  /** `kind`: whether the caller expects a terminal or a pipe. */
  write(kind: 'stdin' | 'pty', bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    if (kind === 'pty' && !this.facts.pty) throw new Fault('BAD_REQUEST', 'tty not assigned to process: write to its stdin')
    if (kind === 'stdin' && this.facts.pty) throw new Fault('BAD_REQUEST', 'the process has a tty: write to that, not to its stdin')
    if (kind === 'stdin' && !this.#isStdinOpen) throw new Fault('BAD_REQUEST', 'stdin not enabled or closed')
    return this.#process.write(bytes, signal)
  }

  /** Idempotent. */
  async closeStdin(signal: AbortSignal): Promise<void> {
    if (this.facts.pty) throw new Fault('BAD_REQUEST', 'the stdin of a process with a tty cannot be closed: send it 0x04 (Ctrl-D) instead')
    if (!this.#isStdinOpen) return
    this.#isStdinOpen = false
    await this.#process.closeStdin(signal)
  }

  #timeUp(): void {
    this.#isLate = true
    killNow(this.#process)
  }

  async #run(): Promise<ProcessEnd> {
    let end: ProcessEnd
    try {
      for await (const piece of this.#process.output) await this.#output.push(piece)
      end = { exit: await this.#process.exit, isLate: this.#isLate }
    } catch (failure) {
      end = { failure }
    }
    clearTimeout(this.#timer)
    this.#output.finish(end)
    return end
  }
}

/** The commands of one sandbox that clients may reconnect to. Interpreters are not among them. */
export class Processes {
  readonly #parts: ProcessesParts
  readonly #live = new Map<number, RunningProcess>()
  /** Oldest first. */
  readonly #ended = new Map<number, RunningProcess>()
  #adopted: Promise<void> = Promise.resolve()

  constructor(parts: ProcessesParts) {
    this.#parts = parts
  }

  /** Rejects as LiveSandbox.start does. `env` is set, but not shown to clients. */
  async start(
    request: StartRequest,
    hidden: Record<string, string>,
    signal: AbortSignal,
  ): Promise<{ process: RunningProcess; reader: ProcessReader }> {
    const { timeoutMs, ...plain } = request
    const deadlineMs = timeoutMs === undefined ? undefined : Date.now() + timeoutMs
    const started = await this.#parts.start(
      { ...plain, env: { ...hidden, ...plain.env }, tag: writeLabel({ tag: request.tag, deadlineMs, stdin: request.stdin === true }) },
      signal,
    )
    const facts = {
      command: request.command,
      args: request.args ?? [],
      env: request.env ?? {},
      cwd: request.cwd,
      tag: request.tag,
      pty: request.pty !== undefined,
      stdin: request.stdin === true,
    }
    let reader: ProcessReader | undefined
    const process = this.#add(
      new RunningProcess(started, facts, deadlineMs, (first) => {
        reader = first
      }),
    )
    return { process, reader: reader as ProcessReader }
  }

  /** Running processes, by pid. */
  async list(): Promise<RunningProcess[]> {
    await this.#adopted
    return [...this.#live.values()].sort((one, other) => one.pid - other.pid)
  }

  /** A running process. Rejects with NOT_FOUND. */
  async find(selector: ProcessSelector): Promise<RunningProcess> {
    await this.#adopted
    const found = pick(this.#live, selector)
    if (found === undefined) throw new Fault('NOT_FOUND', missing(selector))
    return found
  }

  /** A process that runs or ended a moment ago. Rejects with NOT_FOUND. */
  async findOrEnded(selector: ProcessSelector): Promise<RunningProcess> {
    await this.#adopted
    const found = pick(this.#live, selector) ?? pick(this.#ended, selector)
    if (found === undefined) throw new Fault('NOT_FOUND', missing(selector))
    return found
  }

  /**
   * Adopts processes of an earlier daemon, except those with these pids. This runs in the background: a frozen sandbox answers only once it is thawed, and
   * calls that look for a process wait for the adoption.
   */
  adopt(leaveAlone: readonly number[]): void {
    this.#adopted = this.#adopt(leaveAlone, unending())
    // Calls that look for a process report this failure.
    this.#adopted.catch(() => undefined)
  }

  async #adopt(leaveAlone: readonly number[], signal: AbortSignal): Promise<void> {
    for (const found of await this.#parts.find(signal)) {
      if (leaveAlone.includes(found.pid) || this.#live.has(found.pid)) continue
      const label = readLabel(found.tag)
      let attached: Process
      try {
        attached = await this.#parts.attach(found, signal)
      } catch (failure) {
        // It has ended meanwhile.
        if (failure instanceof Fault && failure.code === 'NOT_FOUND') continue
        throw failure
      }
      const { command, args, cwd, pty } = found
      this.#add(new RunningProcess(attached, { command, args, env: {}, cwd, tag: label.tag, pty, stdin: label.stdin }, label.deadlineMs))
    }
  }

  #add(process: RunningProcess): RunningProcess {
    // The pid may have been another process's before.
    this.#ended.delete(process.pid)
    this.#live.set(process.pid, process)
    void process.ended.then(() => this.#retire(process))
    return process
  }

  #retire(process: RunningProcess): void {
    const { pid } = process
    if (this.#live.get(pid) === process) this.#live.delete(pid)
    this.#ended.set(pid, process)
    const [oldest] = this.#ended.keys()
    if (this.#ended.size > MAX_ENDED && oldest !== undefined) this.#ended.delete(oldest)
    setTimeout(() => this.#ended.get(pid) === process && this.#ended.delete(pid), KEEP_ENDED_MS).unref()
  }
}

function pick(among: ReadonlyMap<number, RunningProcess>, selector: ProcessSelector): RunningProcess | undefined {
  if ('pid' in selector) return among.get(selector.pid)
  // The latest with that tag.
  return [...among.values()].findLast(({ facts }) => facts.tag === selector.tag)
}

function missing(selector: ProcessSelector): string {
  return 'pid' in selector ? `process with pid ${selector.pid} not found` : `process with tag ${selector.tag} not found`
}
