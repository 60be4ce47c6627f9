import type { Output, Process, ProcessExit, StartRequest } from '@caisson/wire'
import { Fault } from '@caisson/wire'
import { Data_Channel as Channel, type Exit } from '@caisson/wire/agent'
import { refuseAborted, settled } from '../lifetimes.ts'
import type { RuntimeProcess } from '../runtimes/runtime.ts'
import type { AgentConnection, OpenOptions, Operation } from './connection.ts'
import type { AgentStream, EventWhat, OpenedResult } from './stream.ts'

/** Interprets the end of a process for the sandbox's owner, who knows the limits. */
export interface Judge {
  /** The agent reported the exit. */
  exited(exit: ProcessExit & { diskFull: boolean }): Promise<ProcessExit>
  /** The connection was lost while the process ran. Rejects with the reason unless a limit explains it. */
  lost(failure: Fault): Promise<ProcessExit>
}

export interface ProcessOptions {
  judge: Judge
  /** Receives the size of each piece of output. */
  meter?: (bytes: number) => void
}

const SIGKILL = 9
const MAX_SIGNAL = 64
/** Of the kernel's type, unsigned 16 bits; 0 means unknown. */
const MAX_CELLS = 65_535
const UNKNOWN_EXIT_CODE = 255
const DAY_MS = 86_400_000

/** Failures after which the connection is gone or cannot be trusted. */
const BREAKS: ReadonlySet<string> = new Set(['AGENT_LOST', 'WIRE_VIOLATION'])

const NAMES: Readonly<Record<number, 'stdout' | 'stderr' | 'pty' | 'control'>> = {
  [Channel.STDOUT]: 'stdout',
  [Channel.STDERR]: 'stderr',
  [Channel.PTY]: 'pty',
  [Channel.CONTROL]: 'control',
}

/** A process inside, on one stream of the agent connection. */
class LiveProcess<Piece extends { channel: string; bytes: Uint8Array; atMs: number }> {
  readonly pid: number
  readonly output: AsyncIterable<Piece>
  readonly exit: Promise<ProcessExit>
  readonly #stream: AgentStream
  readonly #judge: Judge
  readonly #drained = settled<void>()
  #reading = false

  constructor(stream: AgentStream, pid: number, exited: Promise<Exit>, judge: Judge) {
    this.pid = pid
    this.#stream = stream
    this.#judge = judge
    this.output = { [Symbol.asyncIterator]: () => this.#read() }
    this.exit = this.#end(exited)
    this.exit.catch(() => undefined)
  }

  protected send(channel: Channel, bytes: Uint8Array, end: boolean, signal: AbortSignal): Promise<void> {
    return this.#stream.send(channel, bytes, end, signal)
  }

  async signal(number: number, signal: AbortSignal): Promise<void> {
    refuseAborted(signal)
    if (!Number.isInteger(number) || number < 1 || number > MAX_SIGNAL) throw new Fault('BAD_REQUEST', `signal: ${number} is no signal`)
    this.#stream.control({ case: 'signal', value: number })
  }

  async resize(size: { columns: number; rows: number }, signal: AbortSignal): Promise<void> {
    refuseAborted(signal)
    const { columns, rows } = size
    for (const [name, cells] of Object.entries({ columns, rows })) {
      if (Number.isInteger(cells) && cells >= 0 && cells <= MAX_CELLS) continue
      throw new Fault('BAD_REQUEST', `pty.${name}: ${cells} is no whole number from 0 to ${MAX_CELLS}`)
    }
    this.#stream.control({ case: 'resize', value: { columns, rows } as never })
  }

  /** Stops listening; the process continues. */
  letGo(): void {
    this.#stream.giveUp(new Fault('CANCELLED', 'the host let go of the process'))
  }

  async *#read(): AsyncGenerator<Piece> {
    this.#reading = true
    try {
      for (;;) {
        const segment = await this.#stream.take().catch(() => undefined)
        // `exit` tells how it ended.
        if (segment === undefined) return
        yield { channel: NAMES[segment.channel], bytes: segment.bytes, atMs: milliseconds(segment.atUs) } as Piece
      }
    } finally {
      this.#drained.resolve()
    }
  }

  async #end(exited: Promise<Exit>): Promise<ProcessExit> {
    let exit: ProcessExit
    try {
      await this.#stream.closed
      exit = await this.#judge.exited(read(await exited))
    } catch (failure) {
      if (!(failure instanceof Fault) || !BREAKS.has(failure.code)) throw failure
      exit = await this.#judge.lost(failure)
    }
    if (this.#reading) await this.#drained.promise
    return exit
  }
}

class Command extends LiveProcess<Output> implements Process {
  readonly #pty: boolean

  constructor(stream: AgentStream, pid: number, exited: Promise<Exit>, judge: Judge, pty: boolean) {
    super(stream, pid, exited, judge)
    this.#pty = pty
  }

  write(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    return this.send(this.#pty ? Channel.PTY : Channel.STDIN, bytes, false, signal)
  }

  closeStdin(signal: AbortSignal): Promise<void> {
    return this.send(this.#pty ? Channel.PTY : Channel.STDIN, new Uint8Array(), true, signal)
  }
}

class Program extends LiveProcess<{ channel: 'stdout' | 'stderr' | 'control'; bytes: Uint8Array; atMs: number }> implements RuntimeProcess {
  /** Resolves when the agent forwards what is sent to the process. */
  readonly attached: Promise<void>

  constructor(stream: AgentStream, pid: number, exited: Promise<Exit>, judge: Judge) {
    super(stream, pid, exited, judge)
    this.attached = stream.opened.then(() => undefined)
    this.attached.catch(() => undefined)
  }

  sendControl(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    return this.send(Channel.CONTROL, bytes, false, signal)
  }
}

export type { Command, Program }

/** Starts a user's command. Rejects with FILE_MISSING if there is no such program, or FILE_DENIED if it may not be executed. */
export async function startCommand(
  connection: AgentConnection,
  request: StartRequest & { env: Record<string, string> },
  options: ProcessOptions,
  signal: AbortSignal,
): Promise<Command> {
  const { command, args = [], env, cwd = '', user = '', stdin = false, pty, tag = '' } = request
  const value = { command, args, env, cwd, user, stdin, tag, ...(pty === undefined ? {} : { pty }) }
  const { stream, pid, exited } = await begin(connection, { case: 'start', value }, `start ${command}`, options, signal)
  return new Command(stream, pid, exited, options.judge, pty !== undefined)
}

/** Takes over a command that was started on another connection; its output from now on comes here. */
export async function attachCommand(
  connection: AgentConnection,
  found: Pick<FoundProcess, 'pid' | 'pty'>,
  options: ProcessOptions,
  signal: AbortSignal,
): Promise<Command> {
  const what = `attach to process ${found.pid}`
  const { stream, pid, exited } = await begin(connection, { case: 'attach', value: { pid: found.pid } }, what, options, signal)
  return new Command(stream, pid, exited, options.judge, found.pty)
}

/** A process that the agent knows. Its command line may be shortened. */
export interface FoundProcess {
  readonly pid: number
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly user: string
  readonly tag: string
  readonly pty: boolean
}

/** All running processes that the agent started or adopted. */
export async function findProcesses(connection: AgentConnection, signal: AbortSignal): Promise<FoundProcess[]> {
  const opened = await connection.open({ case: 'processes', value: {} }, { what: 'processes' }, signal).opened
  const { processes } = (opened as Extract<OpenedResult, { case: 'processes' }>).value
  return processes.map(({ pid, command, args, cwd, user, tag, pty }) => ({ pid, command, args, cwd, user, tag, pty }))
}

/** Starts a runtime's program through the agent. */
export async function startProgram(
  connection: AgentConnection,
  start: { command: string; args: readonly string[]; env: Record<string, string>; cwd: string },
  options: ProcessOptions,
  signal: AbortSignal,
): Promise<Program> {
  const value = { command: start.command, args: [...start.args], env: start.env, cwd: start.cwd, controlChannel: true }
  const { stream, pid, exited } = await begin(connection, { case: 'start', value }, `start ${start.command}`, options, signal)
  return new Program(stream, pid, exited, options.judge)
}

/** Attaches to an existing process, forked from a zygote into the sandbox. Data sent before the agent has answered is queued. */
export function attachProgram(connection: AgentConnection, pid: number, options: ProcessOptions, signal: AbortSignal): Program {
  const { stream, exited } = openProcess(connection, { case: 'attach', value: { pid } }, `attach to process ${pid}`, options, signal)
  return new Program(stream, pid, exited, options.judge)
}

function openProcess(connection: AgentConnection, operation: Operation, what: string, options: ProcessOptions, signal: AbortSignal) {
  const exit = settled<Exit>()
  const meter = options.meter
  let isSaid = false
  const settings: OpenOptions = {
    what,
    onEvent: (event: EventWhat) => {
      if (event.case !== 'exit') return
      isSaid = true
      exit.resolve(event.value)
    },
    ...(meter === undefined ? {} : { onData: (channel: Channel, bytes: number) => channel !== Channel.CONTROL && meter(bytes) }),
    ...(operation.case === 'start' ? { undo: () => ({ case: 'control', value: { action: { case: 'signal', value: SIGKILL } } }) } : {}),
  }
  const stream = connection.open(operation, settings, signal)
  const unsaid = () => {
    if (!isSaid) exit.reject(new Fault('WIRE_VIOLATION', `${what}: the agent closed it without saying how it ended`))
  }
  stream.closed.then(unsaid, unsaid)
  return { stream, exited: exit.promise }
}

/** The caller's signal applies only until the process runs; then the process lives until it ends. */
async function begin(connection: AgentConnection, operation: Operation, what: string, options: ProcessOptions, signal: AbortSignal) {
  const { stream, exited } = openProcess(connection, operation, what, options, signal)
  const opened = (await stream.opened) as Extract<OpenedResult, { case: 'started' }>
  stream.outlive()
  return { stream, exited, pid: opened.value.pid }
}

/** The agent's report, limited to plausible values. */
function read(exit: Exit): ProcessExit & { diskFull: boolean } {
  const diskFull = exit.diskFull
  if (exit.unknown) return { exitCode: UNKNOWN_EXIT_CODE, diskFull }
  if (exit.signal === 0) return { exitCode: exit.code & 0xff, diskFull }
  if (exit.signal > MAX_SIGNAL) throw new Fault('WIRE_VIOLATION', `the agent reported signal ${exit.signal}`)
  return { exitCode: 128 + exit.signal, signal: exit.signal, diskFull }
}

/** The timestamp comes from the agent's clock; one that is far from ours is ignored. */
function milliseconds(atUs: number): number {
  const now = Date.now()
  const atMs = atUs / 1000
  return Math.abs(atMs - now) < DAY_MS ? atMs : now
}
