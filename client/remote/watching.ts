import { setTimeout } from 'node:timers/promises'
import { type Death, Fault } from '@caisson/wire'
import { lines } from './framing.ts'
import { unknownDeath, type Visit } from './visit.ts'

/** Delay between attempts to reach a daemon that does not answer. It may be restarting; its sandboxes live on meanwhile. */
const AGAIN_MS = 1000

/** Resolves when the sandbox has ended, even across daemon restarts. Never rejects: a sandbox that may not be queried counts as gone. */
export async function deathOf(visit: Visit): Promise<Death> {
  for (;;) {
    const leaving = new AbortController()
    try {
      // Subscribe before asking, so that no event in between is missed.
      const changes = lines(await eventsOf(visit, leaving.signal))
      for (let heard = false; !heard; heard = (await changes.next()).done === true) {
        const { state, death } = await visit.standing(leaving.signal)
        if (state === 'gone') return death ?? unknownDeath(visit.id)
      }
    } catch (failure) {
      if (!(failure instanceof Fault)) throw failure
      if (failure.code === 'UNAUTHENTICATED' || failure.code === 'ACCESS_DENIED') return unknownDeath(visit.id)
    } finally {
      leaving.abort()
    }
    await setTimeout(AGAIN_MS)
  }
}

async function eventsOf(visit: Visit, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const path = `/caisson/v1/events?sandbox=${encodeURIComponent(visit.id)}`
  return (await visit.control.ask({ method: 'GET', path }, 'events', signal)).body
}
