import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { WireClient, WireError, type WireSandbox } from '../api/wire-client.ts'
import type { Chance } from './chance.ts'
import type { Outages } from './outages.ts'

/** What a client knows of one of its sandboxes. `unsure`: a request for its end was never answered. */
export interface Known {
  readonly sandbox: WireSandbox
  state: 'alive' | 'unsure' | 'gone'
  /** Files whose upload was answered, by their hash. */
  readonly files: Map<string, string>
  /** What was done with it, for whoever has to find out. */
  readonly history: string[]
  /** It ends by itself before this, on the clock of performance.now(). */
  endsMs: number
}

export interface Tally {
  done: Record<string, number>
  /** What no client of a documented interface could have expected. */
  undocumented: string[]
  refused: Record<string, number>
}

const MAX_ALIVE = 3
const LONG_S = 3600

/** Codes of docs/reference/errors.md that somebody who does one thing at a time with sandboxes of his own has to expect: the machine is full, or his share is. */
const EXPECTED = new Set(['overloaded', 'quota_exceeded'])
/** A sandbox that ends this soon is left alone. */
const MARGIN_MS = 8000
const WAKE_TRIES = 500

/** One client that does whatever chance has it do, until it is told to stop. It never shares a sandbox with another. */
export class RestlessClient implements Disposable {
  readonly known: Known[] = []
  readonly tally: Tally = { done: {}, undocumented: [], refused: {} }
  readonly name: string
  readonly #wire: WireClient
  readonly #chance: Chance
  readonly #outages: Outages

  constructor(name: string, outages: Outages, chance: Chance) {
    this.name = name
    this.#outages = outages
    this.#chance = chance
    this.#wire = new WireClient(outages.daemon.url, outages.daemon.key)
  }

  async goOn(until: () => boolean): Promise<void> {
    while (!until()) {
      const alive = this.known.filter(({ state, endsMs }) => state === 'alive' && endsMs > performance.now() + MARGIN_MS)
      const mine = alive[this.#chance.below(Math.max(1, alive.length))]
      const what = mine === undefined ? 'create' : this.#chance.choose(CHOICES)
      if (what === 'create' && alive.length >= MAX_ALIVE) continue
      await this.#attempt(what, mine)
    }
  }

  [Symbol.dispose](): void {
    this.#wire[Symbol.dispose]()
  }

  async #attempt(what: Choice, mine: Known | undefined): Promise<void> {
    const from = performance.now()
    try {
      if (mine === undefined || what === 'create') await this.#create()
      else await this.#with(what, mine)
      this.tally.done[what] = (this.tally.done[what] ?? 0) + 1
    } catch (error) {
      await this.#judge(what, error, from)
      // As any client would: a moment, then again.
      await pause(100 + this.#chance.below(200))
    }
  }

  async #create(): Promise<void> {
    const isShort = this.#chance.next() < 0.2
    const timeout = isShort ? 8 + this.#chance.below(5) : LONG_S
    const endsMs = performance.now() + timeout * 1000
    const templateID = this.#chance.next() < 0.3 ? 'code-interpreter-v1' : 'base'
    const sandbox = await this.#wire.create({ templateID, timeout, metadata: { endurance: this.name } })
    this.known.push({ sandbox, state: 'alive', files: new Map(), history: [`created ${at()} for ${timeout} s`], endsMs })
  }

  async #with(what: Exclude<Choice, 'create'>, mine: Known): Promise<void> {
    const { sandbox } = mine
    mine.history.push(`${what} ${at()}`)
    const path = `/sandboxes/${sandbox.sandboxID}`
    if (what === 'run') {
      const word = randomBytes(8).toString('hex')
      const { stdout, exitCode } = await this.#wire.run(sandbox, `echo ${word}; sleep 0.0${this.#chance.below(10)}; echo $HOME`)
      if (stdout !== `${word}\n/home/user\n` || exitCode !== 0)
        this.tally.undocumented.push(`run gave ${JSON.stringify({ stdout, exitCode })}`)
    } else if (what === 'upload') {
      const name = `file-${this.#chance.below(4)}`
      const content = randomBytes(1 + this.#chance.below(200_000))
      // Until it is answered, the file may be either.
      mine.files.delete(name)
      await this.#wire.upload(sandbox, name, content)
      mine.files.set(name, hash(content))
    } else if (what === 'download') {
      for (const [name, sum] of mine.files) {
        if (hash(await this.#wire.download(sandbox, name)) !== sum) this.tally.undocumented.push(`${name} is not what was uploaded`)
      }
    } else if (what === 'pause') {
      // A connect that nobody answered would leave open when a short life ends.
      if (!isLong(mine.endsMs)) return
      await this.#wire.control('POST', `${path}/pause`, {})
      await pause(this.#chance.below(300))
      await this.#wire.control('POST', `/v2${path}/connect`, { timeout: LONG_S })
      mine.endsMs = performance.now() + LONG_S * 1000
    } else if (what === 'kill') {
      mine.state = 'unsure'
      await this.#wire.control('DELETE', path)
      mine.state = 'gone'
    } else if (what === 'list') {
      const listed = (await this.#wire.control(
        'GET',
        `/v2/sandboxes?metadata=${encodeURIComponent(`endurance=${this.name}`)}`,
      )) as WireSandbox[]
      const missing = this.known.filter(({ state, endsMs, sandbox: { sandboxID } }) => {
        return state === 'alive' && endsMs > performance.now() + MARGIN_MS && !listed.some((one) => one.sandboxID === sandboxID)
      })
      for (const { sandbox: lost } of missing) this.tally.undocumented.push(`${lost.sandboxID} is not listed`)
    } else {
      // Until it is answered, it may end soon or late.
      mine.state = 'unsure'
      await this.#wire.control('POST', `${path}/timeout`, { timeout: 6 })
      mine.endsMs = performance.now() + 6000
      mine.state = 'alive'
    }
  }

  /** An error is documented, or the daemon was killed meanwhile. */
  async #judge(what: Choice, error: unknown, from: number): Promise<void> {
    const wasDown = this.#outages.overlap(from, performance.now())
    const said = error instanceof WireError ? (error.code ?? String(error.status)) : error instanceof Error ? error.message : String(error)
    this.tally.refused[said] = (this.tally.refused[said] ?? 0) + 1
    if (wasDown) for (const one of this.known) await this.#wake(one)
    else if (!EXPECTED.has(said))
      this.tally.undocumented.push(
        `${what}, ${Math.round(this.#outages.calmMs)} ms after an outage: ${error instanceof Error ? (error.stack ?? error.message) : said}`,
      )
  }

  /** Nobody may have heard the answer to a pause. What lives is there for a client that asks, however often the daemon has been killed. */
  async #wake(one: Known): Promise<void> {
    const { sandbox, state, endsMs, history } = one
    if (state !== 'alive' || !isLong(endsMs)) return
    history.push(`woken ${at()}`)
    for (let tried = 0; tried < WAKE_TRIES; tried += 1) {
      const from = performance.now()
      try {
        await this.#wire.control('POST', `/v2/sandboxes/${sandbox.sandboxID}/connect`, { timeout: LONG_S })
        one.endsMs = performance.now() + LONG_S * 1000
        return
      } catch (error) {
        const isRetried = this.#outages.overlap(from, performance.now()) || (error instanceof WireError && error.code === 'overloaded')
        if (!isRetried) return void this.tally.undocumented.push(`${sandbox.sandboxID} after an outage: ${error}`)
        await pause(200)
      }
    }
    this.tally.undocumented.push(`${sandbox.sandboxID} was never to be had again after an outage`)
  }
}

const CHOICES = [
  [4, 'create'],
  [30, 'run'],
  [10, 'upload'],
  [10, 'download'],
  [4, 'pause'],
  [4, 'kill'],
  [4, 'list'],
  [1, 'expire'],
] as const
type Choice = (typeof CHOICES)[number][1]

function isLong(endsMs: number): boolean {
  return endsMs > performance.now() + (LONG_S * 1000) / 2
}

function at(): string {
  return new Date().toISOString().slice(11, 23)
}

/** Of a file's content. */
export function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
