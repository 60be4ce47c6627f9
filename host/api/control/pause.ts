import { Fault, within } from '@caisson/wire'
import { z } from 'zod'
import { type OwnedCall, type Route, readJson, sendNothing } from '../call.ts'
import { withNamed } from './named.ts'

/** How long to wait for the agent before it counts as unresponsive. */
const ANSWER_MS = 5000

const Body = z.strictObject({ memory: z.boolean().default(true), requireHealthyGuest: z.boolean().default(false) })

export const pauseSandbox: Route = {
  method: 'POST',
  path: '/sandboxes/:id/pause',
  async handle(call) {
    const { memory, requireHealthyGuest } = await readJson(call, Body)
    await withNamed(call, async ({ id, state }) => {
      if (requireHealthyGuest && state === 'running') await refuseSilent(id, call)
      await call.rooms.fleet.pause(id, call.owner, { memory }, call.signal)
    })
    sendNothing(call.reply)
  },
}

async function refuseSilent(id: string, { rooms, signal }: OwnedCall): Promise<void> {
  const { live } = await rooms.fleet.enter(id, signal)
  const deadline = within(ANSWER_MS, signal)
  try {
    await live.metrics(deadline)
  } catch (cause) {
    if (!deadline.aborted || signal.aborted) throw cause
    throw new Fault('AGENT_LOST', `sandbox ${id} was not paused: its agent does not answer`, {
      hint: 'It runs on. Pause it without requireHealthyGuest, or end it.',
      cause,
    })
  }
}
