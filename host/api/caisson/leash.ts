import { Fault, type FaultCode } from '@caisson/wire'
import { freshDeadline, type Settled, settled } from '../../lifetimes.ts'
import { DAEMON_STOPS, type OwnedCall, type Route } from '../call.ts'
import { namedSandbox } from '../control/named.ts'
import { refuseQuery } from '../control/query.ts'
import { sendText } from './lines.ts'

/** So that both ends learn of a connection that is dead. */
const ALIVE_MS = 15_000
const KILL_MS = 30_000
/** It had ended by itself. */
const ENDED: ReadonlySet<FaultCode> = new Set(['NOT_FOUND', 'SANDBOX_GONE'])

/**
 * The sandbox ends with this answer: for a program that may be killed before it can end what it made. The end of the daemon ends no sandbox; then it
 * has its time limit alone.
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

/** An empty line now and then. */
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
