import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { within } from '@caisson/wire'
import { orAborted } from '../lifetimes.ts'
import { answers } from '../walls/supervised.ts'
import type { Known } from '../walls/wall.ts'
import type { Walls } from '../walls/walls.ts'

const END_MS = 30_000
const AGAIN_MS = 2_000
const TRIES = 10

interface StrangersParts {
  readonly home: string
  readonly walls: Pick<Walls, 'adopt' | 'remove'>
  readonly notice: (line: string) => void
}

/**
 * Ends the strangers: sandboxes that an earlier daemon was making when it died, and that nobody was told of. This runs in the background while the next daemon
 * already works, because a keeper that is still building its sandbox answers nobody until it is done.
 */
export class Strangers implements AsyncDisposable {
  readonly #parts: StrangersParts
  readonly #over = new AbortController()
  readonly #ended: Promise<unknown>

  constructor(parts: StrangersParts, ids: readonly string[]) {
    this.#parts = parts
    this.#ended = Promise.all(ids.map((id) => this.#endAtLast(id)))
  }

  /** Strangers that have not been ended by now are left to the next daemon. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error('the daemon ends'))
    await this.#ended
  }

  async #endAtLast(id: string): Promise<void> {
    const { signal } = this.#over
    for (let tried = 1; !signal.aborted; tried += 1) {
      try {
        return await this.#end(id)
      } catch (failure) {
        const why = failure instanceof Error ? failure.message : String(failure)
        if (tried === TRIES) return this.#parts.notice(`sandbox ${id}, which nobody was told of, could not be ended: ${why}`)
        await pause(AGAIN_MS, undefined, { signal }).catch(() => undefined)
      }
    }
  }

  async #end(id: string): Promise<void> {
    const { home, walls } = this.#parts
    const dir = join(home, 'sandboxes', id)
    const signal = within(END_MS, this.#over.signal)
    if (!(await answers(join(dir, 'keeper.sock')))) return walls.remove(id, dir)
    const cell = await walls.adopt(strangerAt(home, id, dir), signal)
    await cell.ask({ op: 'kill', reason: 'abandoned', detail: 'nobody was told of it' }, signal)
    await orAborted(cell.death, signal)
  }
}

/** The facts about a sandbox that has no record. */
function strangerAt(home: string, id: string, dir: string): Known {
  return { id, dir, kind: 'sandbox', deathRecord: join(home, 'deaths', `${id}.json`), disk: { kind: 'tmpfs', bytes: 1, inodes: 1 } }
}
