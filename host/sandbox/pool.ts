import { totalmem } from 'node:os'
import { type CreateRequest, Fault, type WallName, within } from '@caisson/wire'
import type { Admission } from './admission.ts'
import type { Creating } from './creating.ts'
import type { Waiting } from './given.ts'
import type { ContextRecord } from './record.ts'

const LAUNCH_MS = 60_000
/** Of one kind; behind the container wall, where one that has rehearsed takes some 8 MiB, as many as a fortieth part of the machine's memory holds. */
const MAX_WAITING = 8
const MAX_LIGHT = Math.min(64, Math.max(MAX_WAITING, Math.floor(totalmem() / (40 * 8 * 2 ** 20))))
/**
 * Callers say what a kind is: of more kinds than these, if none was expected, one is let go of whoever alone wants the most of them, the one that was not wanted
 * for longest.
 */
const MAX_KINDS = 16
/**
 * A kind of sandbox that nobody wanted for so long has one waiting at the most; after ten times as long, none. One that was there whenever somebody wanted it
 * has half of those let go that were left over each time. As many as were expected stay, however long it takes.
 */
const QUIET_MS = 60_000
const TIDY_MS = 15_000
/** After a failure: each try costs somebody else's time. */
const REST_MS = 10_000
/** Whoever has just got one has work for it: the next is made when nobody has come for so long, for less long where fewer than half are left, and at once where none is. */
const CALM_MS = 1000
const BREATH_MS = 40

interface Shelf {
  readonly request: CreateRequest
  readonly waiting: Waiting[]
  /** Who alone has asked for it; undefined: several, or it was expected. */
  owner: string | undefined
  /** How many are to wait: one more with each time that there was none. */
  wanted: number
  expected: number
  /** Which they stand behind, as far as any has been made. */
  wall: WallName | undefined
  /** How many were left, at the least, since it was last looked after. */
  spare: number
  lastTakenMs: number
  lastMissedMs: number
  restUntilMs: number
}

const FRESH = { expected: 0, wall: undefined, spare: 0, lastMissedMs: 0, restUntilMs: 0 }

interface PoolParts {
  readonly creating: Pick<Creating, 'prepare' | 'isOutdone'>
  /** What nobody has asked for yet is made only where there is room for another. */
  readonly admission: Pick<Admission, 'refuse'>
  readonly evicted: () => void
  /** Of one that has been taken since. */
  readonly contextsChanged: (id: string, contexts: ContextRecord[]) => void
  readonly notice: (line: string) => void
}

export interface PoolCount {
  hits: number
  misses: number
  waiting: number
  /** How many are to wait: the demand. */
  wanted: number
}

/**
 * Finished sandboxes that wait for somebody to want them, by what is asked of them. It follows the demand: what is asked for more often than it can be
 * had is kept in greater number, what nobody wants is let go. They end with this host.
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
  /** One that is being made then is made for nobody. */
  readonly #over = new AbortController()

  /** `isOn` false: nobody ever waits. */
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

  /** Has so many of a kind waiting before anybody asks. */
  expect(request: CreateRequest, wanted: number): void {
    const shelf = this.#shelf(request, undefined)
    if (shelf === undefined) return
    shelf.expected = wanted
    shelf.wanted = Math.max(shelf.wanted, shelf.expected)
    this.#refill()
  }

  /** One that is just what is asked for, now the caller's; undefined: there is none, make one. */
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

  /** Somebody waits for a sandbox that is being made: nothing is made in advance until the result is called. */
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

  /** All kinds together have no more than one may have, but for the first of each; behind heavy walls, all those that one owner alone wants. */
  #most(shelf: Shelf): number {
    const { wall, wanted } = shelf
    if (wall !== 'container') return Math.max(1, MAX_WAITING - this.#besides(shelf))
    const others = this.count.wanted - wanted
    return Math.max(1, MAX_LIGHT - others)
  }

  /** Of heavy walls, and of other kinds that whoever wants this one wants alone. */
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
      // Whoever was served in this very moment did not find it over.
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
        // Its kind may have been let go meanwhile.
        this.#evict(shelf)
        // One that dies waiting is nobody's loss.
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

  /** The kind of which the smallest share waits. */
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

  /** Where the machine has no room for another, what waits for nobody takes it from somebody: half goes each time. */
  #makeRoom(): void {
    try {
      this.#parts.admission.refuse()
    } catch {
      for (const { waiting } of this.#shelves.values()) this.#end(waiting.splice(Math.floor(waiting.length / 2)))
    }
  }

  /** Whoever took one that started before there was a state to be restored would wait longer than for one that is made now. */
  async #letGoOfOutdone(): Promise<void> {
    for (const { waiting } of this.#shelves.values()) {
      for (const one of [...waiting]) {
        const isOutdone = await this.#parts.creating.isOutdone(one).catch(() => false)
        const index = waiting.indexOf(one)
        if (isOutdone && index >= 0) this.#end(waiting.splice(index, 1))
      }
    }
  }

  /** Those that are more than wanted. */
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
 * All that two requests must have in common for one sandbox to serve either; undefined: this one is like no other. What it is not given with its life is
 * part of it, whatever that comes to be: a sandbox that was made for another choice is never handed out for this one.
 */
function kindOf(request: CreateRequest): { key: string; kind: CreateRequest } | undefined {
  const { env: _, metadata: __, timeoutMs: ___, leash: ____, mounts, workspace, folder, ...kind } = request
  if ((mounts !== undefined && mounts.length > 0) || workspace !== undefined || folder !== undefined) return undefined
  return { key: JSON.stringify(Object.entries(kind).sort(([one], [other]) => (one < other ? -1 : 1))), kind }
}

/** Of those that are wanted, how many are there. */
function share({ waiting, wanted }: Shelf): number {
  return wanted === 0 ? 1 : waiting.length / wanted
}

/** By us, or by Node in our name. */
function isCancelled(failure: unknown): boolean {
  return (failure instanceof Fault && failure.code === 'CANCELLED') || (failure instanceof Error && failure.name === 'AbortError')
}
