import { totalmem } from 'node:os'
import { type CreateRequest, Fault, type WallName, within } from '@caisson/wire'
import type { Admission } from './admission.ts'
import type { Creating } from './creating.ts'
import type { Waiting } from './given.ts'
import type { ContextRecord } from './record.ts'

const LAUNCH_MS = 60_000
/** Pooled sandboxes per kind. Behind the container wall, where one takes some 8 MiB, all kinds together may use a fortieth of the machine's memory. */
const MAX_WAITING = 8
const MAX_LIGHT = Math.min(64, Math.max(MAX_WAITING, Math.floor(totalmem() / (40 * 8 * 2 ** 20))))
/**
 * Bounded, because callers define kinds by their requests. Beyond it, a kind that was not expected is dropped: of the owner that alone wants the most kinds,
 * the one unused for longest.
 */
const MAX_KINDS = 16
/**
 * A kind that was not asked for during this time keeps at most one sandbox; after ten times as long, none. A kind that never ran out during this time gives up
 * half of those that were never needed. As many as were expected always stay.
 */
const QUIET_MS = 60_000
const TIDY_MS = 15_000
/** Pause after a failure: each attempt costs others' time. */
const REST_MS = 10_000
/** Pause before refilling, since a client that just got a sandbox has work for it. Shorter when fewer than half are left; none when a kind has run out. */
const CALM_MS = 1000
const BREATH_MS = 40

interface Shelf {
  readonly request: CreateRequest
  readonly waiting: Waiting[]
  /** The only owner that has asked for it; undefined: there are several, or it was expected. */
  owner: string | undefined
  /** Target number of waiting sandboxes. Each miss raises it by one. */
  wanted: number
  expected: number
  /** Their wall, once one has been made. */
  wall: WallName | undefined
  /** The lowest number left since the last clean-up. */
  spare: number
  lastTakenMs: number
  lastMissedMs: number
  restUntilMs: number
}

const FRESH = { expected: 0, wall: undefined, spare: 0, lastMissedMs: 0, restUntilMs: 0 }

interface PoolParts {
  readonly creating: Pick<Creating, 'prepare' | 'isOutdone'>
  /** Sandboxes are made in advance only if the machine has room. */
  readonly admission: Pick<Admission, 'refuse'>
  readonly evicted: () => void
  /** Called for a sandbox after it has been taken. */
  readonly contextsChanged: (id: string, contexts: ContextRecord[]) => void
  readonly notice: (line: string) => void
}

export interface PoolCount {
  hits: number
  misses: number
  waiting: number
  /** Target number: the demand. */
  wanted: number
}

/**
 * Ready sandboxes, by kind of request. The number follows the demand: a kind that runs out is stocked higher, and one that nobody wants is dropped. They end
 * with this host.
 */
export class Pool implements AsyncDisposable {
  readonly #parts: PoolParts
  readonly #shelves = new Map<string, Shelf>()
  readonly #tidy: NodeJS.Timeout
  #refilling: Promise<void> | undefined
  #breath: NodeJS.Timeout | undefined
  #busy = 0
  #hits = 0
  #misses = 0
  /** Aborts when the pool ends, also the making of a sandbox that is under way. */
  readonly #over = new AbortController()

  /** `isOn` false: the pool stays empty. */
  constructor(isOn: boolean, parts: PoolParts) {
    if (!isOn) this.#over.abort(new Error('there is no pool'))
    this.#parts = parts
    this.#tidy = setInterval(() => void this.#letGo(), TIDY_MS)
    this.#tidy.unref()
  }

  get count(): PoolCount {
    const shelves = [...this.#shelves.values()]
    const waiting = shelves.reduce((sum, shelf) => sum + shelf.waiting.length, 0)
    const wanted = shelves.reduce((sum, shelf) => sum + shelf.wanted, 0)
    return { hits: this.#hits, misses: this.#misses, waiting, wanted }
  }

  /** Keeps at least this many of a kind ready, before the first request. */
  expect(request: CreateRequest, wanted: number): void {
    const shelf = this.#shelf(request, undefined)
    if (shelf === undefined) return
    shelf.expected = wanted
    shelf.wanted = Math.max(shelf.wanted, shelf.expected)
    this.#refill()
  }

  /** A sandbox that matches the request exactly, now the caller's; undefined: there is none, so the caller makes one. */
  take(request: CreateRequest, owner: string): Waiting | undefined {
    const shelf = this.#shelf(request, owner)
    if (shelf === undefined || this.#over.signal.aborted) return undefined
    shelf.lastTakenMs = Date.now()
    const found = shelf.waiting.shift()
    if (found === undefined) {
      this.#misses += 1
      shelf.lastMissedMs = shelf.lastTakenMs
      if (shelf.wanted < this.#most(shelf)) shelf.wanted += 1
    } else {
      this.#hits += 1
    }
    shelf.spare = Math.min(shelf.spare, shelf.waiting.length)
    return found
  }

  /** A client waits for a sandbox that is being made: the pool makes none until the returned function is called. */
  busy(): () => void {
    this.#busy += 1
    return () => {
      this.#busy -= 1
      const least = Math.min(1, ...[...this.#shelves.values()].map(share))
      clearTimeout(this.#breath)
      if (least === 0) this.#refill()
      else this.#breath = setTimeout(() => this.#refill(), least < 0.5 ? BREATH_MS : CALM_MS).unref()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error('the pool ends'))
    clearInterval(this.#tidy)
    clearTimeout(this.#breath)
    await this.#refilling
    await Promise.all([...this.#shelves.values()].flatMap(({ waiting }) => waiting.splice(0).map(end)))
  }

  #shelf(request: CreateRequest, owner: string | undefined): Shelf | undefined {
    const { key, kind } = kindOf(request) ?? {}
    if (key === undefined || kind === undefined) return undefined
    const known = this.#shelves.get(key)
    if (known !== undefined) {
      if (known.owner !== owner) known.owner = undefined
      return known
    }
    const shelf: Shelf = { request: kind, waiting: [], owner, wanted: 0, ...FRESH, lastTakenMs: Date.now() }
    this.#shelves.set(key, shelf)
    if (this.#shelves.size > MAX_KINDS) this.#forgetOldest()
    return shelf
  }

  /** Together, all kinds may have MAX_LIGHT, and those behind heavy walls that one owner alone wants MAX_WAITING; but each kind may have one. */
  #most(shelf: Shelf): number {
    const { wall, wanted } = shelf
    if (wall !== 'container') return Math.max(1, MAX_WAITING - this.#besides(shelf))
    const others = this.count.wanted - wanted
    return Math.max(1, MAX_LIGHT - others)
  }

  /** Demand for the other kinds behind heavy walls that only this one's owner wants. */
  #besides(shelf: Shelf): number {
    const others = this.#ownedBy(shelf.owner).filter((other) => other !== shelf && other.wall !== 'container')
    return others.reduce((sum, { wanted }) => sum + wanted, 0)
  }

  #ownedBy(owner: string | undefined): Shelf[] {
    return owner === undefined ? [] : [...this.#shelves.values()].filter((shelf) => shelf.owner === owner)
  }

  #forgetOldest(): void {
    const made = [...this.#shelves].filter(([, { expected }]) => expected === 0)
    const owned = made.map(([, { owner }]) => this.#ownedBy(owner).length)
    const most = made.filter((_, at) => Math.max(1, owned[at] ?? 0) === Math.max(1, ...owned))
    const oldest = most.reduce((one, other) => (other[1].lastTakenMs < one[1].lastTakenMs ? other : one))
    this.#shelves.delete(oldest[0])
    oldest[1].wanted = 0
    this.#evict(oldest[1])
  }

  #refill(): void {
    if (this.#refilling !== undefined || this.#over.signal.aborted) return
    this.#refilling = this.#make().finally(() => {
      this.#refilling = undefined
      // `busy` may have ended at this very moment, while a refill still counted as running.
      if (this.#busy === 0 && this.#lacking() !== undefined) this.#refill()
    })
  }

  async #make(): Promise<void> {
    for (let next = this.#lacking(); next !== undefined && this.#busy === 0 && !this.#over.signal.aborted; next = this.#lacking()) {
      const shelf = next
      try {
        const { admission, creating, contextsChanged } = this.#parts
        admission.refuse()
        const waiting = await creating.prepare(shelf.request, contextsChanged, within(LAUNCH_MS, this.#over.signal))
        shelf.waiting.push(waiting)
        shelf.wall = waiting.plan.wall
        if (shelf.wall !== 'container') shelf.expected = Math.min(shelf.expected, MAX_WAITING)
        shelf.wanted = Math.min(shelf.wanted, Math.max(shelf.expected, this.#most(shelf)))
        // Its kind may have been dropped meanwhile.
        this.#evict(shelf)
        // One that dies while waiting is just removed.
        void waiting.cell.death.then(() => {
          const index = shelf.waiting.indexOf(waiting)
          if (index >= 0) shelf.waiting.splice(index, 1)
        })
      } catch (failure) {
        if (this.#over.signal.aborted && isCancelled(failure)) return
        shelf.restUntilMs = Date.now() + REST_MS
        this.#parts.notice(`a sandbox for the pool could not be made: ${failure instanceof Error ? failure.message : String(failure)}`)
      }
    }
  }

  /** The kind with the smallest share of its target number. */
  #lacking(): Shelf | undefined {
    const now = Date.now()
    const lacking = [...this.#shelves.values()].filter((shelf) => share(shelf) < 1 && shelf.restUntilMs <= now)
    return lacking.sort((one, other) => share(one) - share(other))[0]
  }

  async #letGo(): Promise<void> {
    const now = Date.now()
    for (const [key, shelf] of this.#shelves) {
      const quietMs = now - shelf.lastTakenMs
      let wanted = shelf.wanted
      if (quietMs > QUIET_MS) wanted = Math.min(wanted, quietMs > QUIET_MS * 10 ? 0 : 1)
      else if (now - shelf.lastMissedMs > QUIET_MS) wanted = Math.max(1, wanted - Math.ceil(shelf.spare / 2))
      shelf.wanted = Math.max(wanted, shelf.expected)
      shelf.spare = shelf.waiting.length
      this.#evict(shelf)
      if (shelf.wanted === 0) this.#shelves.delete(key)
    }
    this.#makeRoom()
    await this.#letGoOfOutdone()
    this.#refill()
  }

  /** When the machine has no room for another sandbox, half of the waiting ones are ended each time. */
  #makeRoom(): void {
    try {
      this.#parts.admission.refuse()
    } catch {
      for (const { waiting } of this.#shelves.values()) this.#end(waiting.splice(Math.floor(waiting.length / 2)))
    }
  }

  /** Drops sandboxes that were started cold before their kind had a saved state: a sandbox made now would be faster. */
  async #letGoOfOutdone(): Promise<void> {
    for (const { waiting } of this.#shelves.values()) {
      for (const one of [...waiting]) {
        const isOutdone = await this.#parts.creating.isOutdone(one).catch(() => false)
        const index = waiting.indexOf(one)
        if (isOutdone && index >= 0) this.#end(waiting.splice(index, 1))
      }
    }
  }

  /** Ends those beyond the target number. */
  #evict(shelf: Shelf): void {
    this.#end(shelf.waiting.splice(shelf.wanted))
  }

  #end(evicted: readonly Waiting[]): void {
    for (const one of evicted) {
      this.#parts.evicted()
      void end(one)
    }
  }
}

async function end(waiting: Waiting): Promise<void> {
  await waiting.live.letGo()[Symbol.asyncDispose]()
}

/**
 * Key of all that two requests must share for one sandbox to serve both; undefined: this request gets no pooled sandbox. Every field that is not assigned later
 * is part of the key, including future fields, so that a sandbox made for another choice is never handed out.
 */
function kindOf(request: CreateRequest): { key: string; kind: CreateRequest } | undefined {
  const { env: _, metadata: __, timeoutMs: ___, leash: ____, mounts, workspace, folder, ...kind } = request
  if ((mounts !== undefined && mounts.length > 0) || workspace !== undefined || folder !== undefined) return undefined
  return { key: JSON.stringify(Object.entries(kind).sort(([one], [other]) => (one < other ? -1 : 1))), kind }
}

/** Share of the target number that is there. */
function share({ waiting, wanted }: Shelf): number {
  return wanted === 0 ? 1 : waiting.length / wanted
}

/** Aborted by us, or by Node on our signal. */
function isCancelled(failure: unknown): boolean {
  return (failure instanceof Fault && failure.code === 'CANCELLED') || (failure instanceof Error && failure.name === 'AbortError')
}
