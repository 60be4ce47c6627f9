import { constants } from 'node:os'
import { Fault, type Output, type Process, type ProcessExit, type StartRequest } from '@caisson/wire'
import { present } from '../present.ts'
import { onAbort } from '../signals.ts'
import { serverStream, unary } from './connect.ts'
import { exitBehind, exitOf } from './exits.ts'
import { isRecord, type Json, needed, number, text } from './json.ts'
import { Pending } from './pending.ts'
import type { Visit } from './visit.ts'

/** Limit on unread output; beyond it, backpressure reaches the daemon and finally the process. */
const WINDOW_BYTES = 1024 * 1024
/** Largest single input message. */
const MAX_INPUT_BYTES = 256 * 1024
const END_OF_TRANSMISSION = Uint8Array.of(4)

/** Starts a command. The caller's signal counts only until it runs; then the command lives until it ends. */
export async function startRemotely(visit: Visit, request: StartRequest, signal: AbortSignal): Promise<Process> {
  const { timeoutMs } = request
  if (timeoutMs !== undefined && !(Number.isInteger(timeoutMs) && timeoutMs >= 1)) {
    throw new Fault('BAD_REQUEST', `timeoutMs: ${timeoutMs} is not a whole number of milliseconds from 1`)
  }
  const what = `start ${request.command}`
  const listening = new AbortController()
  const stop = onAbort(signal, () => listening.abort(signal.reason))
  const options = { user: request.user, timeoutMs }
  const events = serverStream(visit, 'process.Process/Start', startMessage(request), options, what, listening.signal)
  try {
    return new RemoteProcess(visit, await pidOf(events, what), request, events)
  } catch (failure) {
    await events.return(undefined)
    throw failure
  } finally {
    stop()
  }
}

async function pidOf(events: AsyncGenerator<Json>, what: string): Promise<number> {
  const first = await events.next()
  const started = first.done === true ? undefined : memberOf(first.value, 'start')
  return needed(started === undefined ? undefined : number(started, 'pid'), what, 'the number of the process')
}

function startMessage({ command, args = [], env, cwd, stdin = false, pty, tag }: StartRequest): Json {
  const process = present({ cmd: command, args, envs: env, cwd })
  return present({
    process,
    pty: pty && { size: { cols: pty.columns, rows: pty.rows } },
    tag,
    stdin: pty === undefined ? stdin : undefined,
  })
}

class RemoteProcess implements Process {
  readonly pid: number
  readonly output: AsyncIterable<Output>
  readonly exit: Promise<ProcessExit>
  readonly #visit: Visit
  readonly #isTerminal: boolean
  readonly #hasTimeout: boolean
  readonly #pending = new Pending<Output>()
  /** Serialises input, whoever writes it. */
  #written: Promise<unknown> = Promise.resolve()

  constructor(visit: Visit, pid: number, request: StartRequest, events: AsyncGenerator<Json>) {
    this.pid = pid
    this.#visit = visit
    this.#isTerminal = request.pty !== undefined
    this.#hasTimeout = request.timeoutMs !== undefined
    this.output = { [Symbol.asyncIterator]: () => this.#pending.read() }
    this.exit = this.#listen(events)
    this.exit.catch(() => undefined)
  }

  write(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      for (let from = 0; from < bytes.length; from += MAX_INPUT_BYTES) {
        const piece = Buffer.from(bytes.subarray(from, from + MAX_INPUT_BYTES)).toString('base64')
        await this.#tell('SendInput', { input: this.#isTerminal ? { pty: piece } : { stdin: piece } }, 'write to', signal)
      }
    })
  }

  closeStdin(signal: AbortSignal): Promise<void> {
    // A terminal signals end of input only by a character.
    if (this.#isTerminal) return this.write(END_OF_TRANSMISSION, signal)
    return this.#inTurn(() => this.#tell('CloseStdin', {}, 'close the input of', signal))
  }

  signal(number: number, signal: AbortSignal): Promise<void> {
    const named = number === constants.signals.SIGKILL ? 'SIGNAL_SIGKILL' : number === constants.signals.SIGTERM ? 'SIGNAL_SIGTERM' : number
    return this.#tell('SendSignal', { signal: named }, 'signal', signal)
  }

  resize({ columns, rows }: { columns: number; rows: number }, signal: AbortSignal): Promise<void> {
    return this.#tell('Update', { pty: { size: { cols: columns, rows } } }, 'resize', signal)
  }

  async #tell(method: string, message: Json, what: string, signal: AbortSignal): Promise<void> {
    const process = { pid: this.pid }
    await unary(this.#visit, `process.Process/${method}`, { process, ...message }, {}, `${what} process ${this.pid}`, signal)
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#written.then(work, work)
    this.#written = done
    // Its caller gets the failure; later writes do not.
    done.catch(() => undefined)
    return done
  }

  /** Reads to the end, ahead of the reader by at most the window. */
  async #listen(events: AsyncGenerator<Json>): Promise<ProcessExit> {
    let exit: ProcessExit | undefined
    try {
      for await (const message of events) {
        const data = memberOf(message, 'data')
        const end = memberOf(message, 'end')
        if (data !== undefined) await this.#keep(data)
        if (end !== undefined) exit = exitOf(end)
      }
      exit = needed(exit, `process ${this.pid}`, 'its end')
    } catch (failure) {
      exit = exitBehind(failure, this.#hasTimeout)
    } finally {
      this.#pending.end()
    }
    await this.#pending.drained()
    return exit
  }

  async #keep(data: Json): Promise<void> {
    for (const channel of ['stdout', 'stderr', 'pty'] as const) {
      const encoded = text(data, channel)
      if (encoded === undefined) continue
      const bytes = Buffer.from(encoded, 'base64')
      this.#pending.push({ channel, bytes, atMs: Date.now() }, bytes.length)
    }
    await this.#pending.roomBelow(WINDOW_BYTES)
  }
}

/** One alternative of the `event` union. */
function memberOf(message: Json, name: string): Json | undefined {
  const event = message['event']
  const member = isRecord(event) ? event[name] : undefined
  return isRecord(member) ? member : undefined
}
