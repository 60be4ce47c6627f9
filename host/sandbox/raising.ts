import { type CreateRequest, Fault, type Plan } from '@caisson/wire'
import { bounded } from '../lifetimes.ts'
import type { CreatePath } from '../telemetry/meters.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Admission } from './admission.ts'
import type { Creating } from './creating.ts'
import type { Wish } from './fleet.ts'
import type { Given } from './given.ts'
import type { LiveSandbox } from './life.ts'
import type { Pool } from './pool.ts'
import type { ContextRecord } from './record.ts'

export interface RaisingParts {
  readonly creating: Pick<Creating, 'assign' | 'create'>
  readonly admission: Admission
  readonly pool: Pool
  readonly telemetry: Pick<Telemetry, 'span' | 'meters'>
  contextsChanged(id: string, contexts: ContextRecord[]): void
}

/** Time limit for the whole start, whatever it starts from: a memory of some gigabytes is verified first. The caller may have no time limit of its own. */
const MAKE_MS = 300_000
/** A pooled sandbox is idle, and answers within milliseconds. */
const GIVE_MS = 10_000

/** What it continues from, its own or another's, and its owner. */
type From = Pick<Given, 'kept' | 'remembered'> & { readonly owner: string }

/** Turns a granted wish into a running sandbox, from the pool or newly made. */
export class Raising {
  readonly #parts: RaisingParts

  constructor(parts: RaisingParts) {
    this.#parts = parts
  }

  raise(request: CreateRequest, wish: Wish, given: From, signal: AbortSignal): Promise<LiveSandbox> {
    const { meters, span } = this.#parts.telemetry
    const startedMs = performance.now()
    return span('create', {}, async ({ set }) => {
      const done = this.#parts.pool.busy()
      try {
        const pooled = given.kept === undefined ? await this.#fromPool(request, wish, given, signal) : undefined
        const live = pooled ?? (await this.#make(request, wish, given, signal))
        const path: CreatePath = pooled !== undefined ? 'pool' : pathOf(live.plan)
        set('caisson.path', path)
        set('caisson.sandbox', live.id)
        const seconds = (performance.now() - startedMs) / 1000
        // Once it has been answered: counting takes a tenth of a millisecond in a process that has just woken.
        setImmediate(() => meters.created(path, seconds))
        return live
      } finally {
        done()
      }
    })
  }

  async #fromPool(request: CreateRequest, wish: Wish, { owner }: From, signal: AbortSignal): Promise<LiveSandbox | undefined> {
    const { pool, creating, telemetry } = this.#parts
    const waiting = pool.take(request, owner)
    if (waiting === undefined) return undefined
    const { env = {}, metadata = {} } = request
    const life = {
      owner,
      env,
      metadata,
      wallMs: wish.timeoutMs,
      onWall: onWall(wish),
    }
    const give = () => bounded(GIVE_MS, signal, (either) => creating.assign(waiting, life, either), silent)
    try {
      return await telemetry.span('pool', {}, give)
    } catch (failure) {
      // The pooled sandbox has died or hangs: make another.
      if (signal.aborted || !(failure instanceof Fault) || failure.code !== 'SANDBOX_GONE') throw failure
      return undefined
    }
  }

  async #make(request: CreateRequest, wish: Wish, from: From, signal: AbortSignal): Promise<LiveSandbox> {
    const { admission, creating, contextsChanged } = this.#parts
    let id = ''
    const given: Given = {
      ...from,
      onWall: onWall(wish),
      contextsChanged: (contexts) => contextsChanged(id, contexts),
    }
    const whole = { ...request, timeoutMs: wish.timeoutMs, leash: 'none' as const }
    const make = () => bounded(MAKE_MS, signal, (either) => creating.create(whole, either, given), late)
    const live = await admission.inTurn(from.owner, make, signal)
    id = live.id
    return live
  }
}

function late(cause: unknown): Fault {
  return new Fault('LAUNCH_FAILED', `it was not made within ${MAKE_MS / 1000} s, and was given up`, { cause })
}

function silent(cause: unknown): Fault {
  return new Fault('SANDBOX_GONE', `one that waited did not answer within ${GIVE_MS / 1000} s`, { cause })
}

function pathOf({ zygote, engine }: Plan): CreatePath {
  if (zygote !== null) return 'zygote'
  if (engine?.warm?.op !== 'restore') return 'cold'
  return engine.warm.mother === undefined ? 'restored' : 'twin'
}

function onWall({ lifecycle }: Wish): 'freeze' | 'end' {
  return lifecycle.onTimeout === 'pause' ? 'freeze' : 'end'
}
