import type { MessageInitShape } from '@bufbuild/protobuf'
import { Fault, type Output, type ProcessExit } from '@caisson/wire'
import type { ProcessEventSchema } from '@caisson/wire/envd/process'
import { Code, ConnectError } from '@connectrpc/connect'
import { cancelled, onAbort } from '../../lifetimes.ts'
import type { ProcessEnd, ProcessReader, RunningProcess } from '../../sandbox/processes.ts'
import type { Rpc } from './serving.ts'
import { signalName } from './signals.ts'

type EventInit = MessageInitShape<typeof ProcessEventSchema>

/** The piece size that E2B's clients expect. */
const MAX_PIPE_BYTES = 32 * 1024
const MAX_TERMINAL_BYTES = 16 * 1024

/** All events of a process for one listener, from its pid to its end. */
export async function* eventsOf(process: RunningProcess, reader: ProcessReader, rpc: Rpc): AsyncGenerator<{ event: EventInit }> {
  const { signal } = rpc
  // Also on abort: once a client is gone, nobody requests the next event.
  const stop = onAbort(signal, () => reader.close())
  try {
    yield { event: { event: { case: 'start', value: { pid: process.pid } } } }
    for (;;) {
      const heard = await reader.next(rpc.keepaliveMs)
      if (heard === undefined) throw signal.reason instanceof ConnectError ? signal.reason : cancelled(signal)
      if (heard === 'silent') {
        yield { event: { event: { case: 'keepalive', value: {} } } }
      } else if (heard.type === 'end') {
        yield { event: { event: { case: 'end', value: endOf(heard.end, rpc) } } }
        return
      } else {
        for (const data of dataOf(heard.piece)) yield { event: { event: { case: 'data', value: { output: data } } } }
      }
    }
  } finally {
    stop()
    reader.close()
  }
}

function* dataOf({ channel, bytes }: Output) {
  const most = channel === 'pty' ? MAX_TERMINAL_BYTES : MAX_PIPE_BYTES
  for (let at = 0; at < bytes.length; at += most) {
    yield { case: channel, value: bytes.subarray(at, at + most) as Uint8Array<ArrayBuffer> }
  }
}

function endOf(end: ProcessEnd, rpc: Rpc) {
  if ('failure' in end) throw end.failure
  if (end.isLate) throw new ConnectError('the command took longer than its time limit, and was killed', Code.DeadlineExceeded)
  const { exit } = end
  const { visit, isOwn } = rpc
  // The sandbox's own timeout: E2B's clients recognise it only by a broken connection.
  const { death } = visit.entered.live
  if (exit.limit === 'timeout' && !isOwn && death !== undefined) throw new Fault('SANDBOX_GONE', `the sandbox has ended: ${death.detail}`)
  const status = exit.signal === undefined ? `exit status ${exit.exitCode}` : `signal: ${signalName(exit.signal)}`
  const error = errorOf(exit, status)
  return {
    exitCode: exit.signal === undefined ? exit.exitCode : -1,
    exited: exit.signal === undefined,
    status,
    ...(error === undefined ? {} : { error }),
    ...(isOwn && exit.limit !== undefined ? { limit: exit.limit } : {}),
  }
}

function errorOf({ exitCode, signal, limit }: ProcessExit, status: string): string | undefined {
  if (limit !== undefined) return `${status}: the sandbox hit its ${limit} limit`
  return exitCode === 0 && signal === undefined ? undefined : status
}
