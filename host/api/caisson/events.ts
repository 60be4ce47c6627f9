import { z } from 'zod'
import { type Settled, settled } from '../../lifetimes.ts'
import type { Denial, SandboxEvent } from '../../sandbox/fleet.ts'
import type { OwnedCall, Route } from '../call.ts'
import { readQuery } from '../control/query.ts'
import { time } from '../control/shapes.ts'
import { sendText } from './lines.ts'

/** Limit on events waiting for a slow reader. Beyond it, the stream says that some were lost, and ends. */
const MAX_WAITING = 1000
/** Keep-alive interval, so that both ends notice a dead connection. */
const ALIVE_MS = 15_000

/** Limit on waiting denials. Further ones are only counted, so that a sandbox cannot make its owner miss its end. */
const MAX_DENIALS = 500

const Query = z
  .strictObject({ sandbox: z.string().max(64).optional(), denials: z.literal('true').optional() })
  .refine(({ sandbox, denials }) => denials === undefined || sandbox !== undefined, 'denials are told of one sandbox: name it')

/** Streams events of the caller's sandboxes from now on: JSON lines, or server-sent events if requested. */
export const followEvents: Route = {
  method: 'GET',
  path: '/caisson/v1/events',
  async handle(call) {
    const { sandbox, denials } = readQuery(call, Query)
    const isPage = (call.request.headers.accept ?? '').includes('text/event-stream')
    if (sandbox !== undefined && denials !== undefined) call.rooms.fleet.find(sandbox, call.owner)
    const events = eventsOf(call, sandbox, denials !== undefined)
    await sendText(call, isPage ? 'text/event-stream' : 'application/x-ndjson', isPage ? sent(events) : lines(events))
  },
}

type Told = {
  kind: SandboxEvent['kind'] | 'denied' | 'alive' | 'lost'
  at: string
  sandboxID?: string
  state?: string
  reason?: string | null
  endAt?: string
} & Partial<Pick<Denial, 'host' | 'port' | 'rule' | 'wouldAllow' | 'missed'>>

async function* eventsOf(call: OwnedCall, sandbox: string | undefined, denials: boolean): AsyncGenerator<Told> {
  const waiting: Told[] = []
  let bell: Settled<void> = settled()
  const put = (told: Told) => {
    if (waiting.length <= MAX_WAITING) waiting.push(waiting.length < MAX_WAITING ? told : { kind: 'lost', at: time(Date.now()) })
    bell.resolve()
  }
  const stop = call.rooms.fleet.watch(call.owner, (event) => {
    if (sandbox === undefined || event.record.id === sandbox) put(toldOf(event))
  })
  let missed = 0
  const denied = ({ atMs, kind, ...denial }: Denial) => {
    if (waiting.length >= MAX_DENIALS) missed += 1
    else {
      put({ kind, at: time(atMs), sandboxID: sandbox ?? '', ...denial, missed })
      missed = 0
    }
  }
  const stopDenials = sandbox !== undefined && denials ? call.rooms.fleet.watchDenials(sandbox, call.owner, denied) : () => undefined
  const heart = setInterval(() => put({ kind: 'alive', at: time(Date.now()) }), ALIVE_MS)
  const end = () => bell.resolve()
  call.signal.addEventListener('abort', end, { once: true })
  try {
    // Sent at once: a client that has read it misses no later event.
    yield { kind: 'alive', at: time(Date.now()) }
    while (!call.signal.aborted) {
      for (const told of waiting.splice(0)) {
        yield told
        if (told.kind === 'lost') return
      }
      if (waiting.length > 0) continue
      bell = settled()
      if (!call.signal.aborted) await bell.promise
    }
  } finally {
    clearInterval(heart)
    stopDenials()
    call.signal.removeEventListener('abort', end)
    stop()
  }
}

function toldOf({ kind, atMs, record }: SandboxEvent): Told {
  const { id, state, reason, endMs } = record
  return { kind, at: time(atMs), sandboxID: id, state, endAt: time(endMs), ...(state === 'gone' ? { reason } : {}) }
}

async function* lines(events: AsyncIterable<Told>): AsyncGenerator<string> {
  for await (const told of events) yield `${JSON.stringify(told)}\n`
}

async function* sent(events: AsyncIterable<Told>): AsyncGenerator<string> {
  for await (const told of events) yield `event: ${told.kind}\ndata: ${JSON.stringify(told)}\n\n`
}
