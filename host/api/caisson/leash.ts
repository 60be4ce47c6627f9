import { Fault, type FaultCode } from '@caisson/wire'
import { freshDeadline, type Settled, settled } from '../../lifetimes.ts'
import { DAEMON_STOPS, type OwnedCall, type Route } from '../call.ts'
import { namedSandbox } from '../control/named.ts'
import { refuseQuery } from '../control/query.ts'
import { sendText } from './lines.ts'

/** Keep-alive interval, so that both ends notice a dead connection. */
const ALIVE_MS = 15_000
const KILL_MS = 30_000
/** The sandbox had already ended by itself. */
const ENDED: ReadonlySet<FaultCode> = new Set(['NOT_FOUND', 'SANDBOX_GONE'])

/**
 * Ends the sandbox when this response's connection ends, for programs that may be killed before they can clean up. A daemon that stops ends no sandbox; then
 * only the time limit applies.
 */
export const holdLeash: Route = {
  method: 'GET',
  path: '/caisson/v1/sandboxes/:id/leash',
  async handle(call) {
    refuseQuery(call)
    const { id } = namedSandbox(call)
    await sendText(call, 'text/plain', untilGone(call, id))
    if (!call.signal.aborted || (call.signal.reason as Fault).message === DAEMON_STOPS) return
    try {
      await call.rooms.fleet.kill(id, call.owner, freshDeadline(KILL_MS))
    } catch (failure) {
      if (!(failure instanceof Fault && ENDED.has(failure.code))) throw failure
    }
  },
}

/** Sends an empty line at intervals. */
async function* untilGone(call: OwnedCall, id: string): AsyncGenerator<string> {
  let bell: Settled<void> = settled()
  let isGone = false
  const stop = call.rooms.fleet.watch(call.owner, ({ kind, record }) => {
    isGone ||= kind === 'gone' && record.id === id
    if (isGone) bell.resolve()
  })
  const heart = setInterval(() => bell.resolve(), ALIVE_MS)
  const end = () => bell.resolve()
  call.signal.addEventListener('abort', end, { once: true })
  try {
    while (!isGone && !call.signal.aborted) {
      yield '\n'
      await bell.promise
      bell = settled()
    }
  } finally {
    clearInterval(heart)
    call.signal.removeEventListener('abort', end)
    stop()
  }
}
