import { type Finding, Scanner } from '@caisson/policy'
import type { DlpPlace } from '@caisson/wire'
import type { Lane, Outflow } from './dlp-outflow.ts'
import { Judging, type Span } from './dlp-verdicts.ts'
import type { Ground } from './inspect/passage.ts'
import type { FarRun } from './search/searchers.ts'
import { type Coding, NotSearched, type Told, type Which } from './search/words.ts'

/** Holding back fewer bytes is not worth stalling a connection: they are only constant prefixes of what is searched for. */
const LEAST_HELD = 4
/** The limits for searching on the main thread: this many bytes, and little work. */
const NEAR_BYTES = 4096
const NEAR_STEPS = 128 * 1024
const NOTHING = new Uint8Array(0)

export interface Way {
  readonly which?: Which
  /** Decompress before searching. */
  readonly coding?: Coding | null
  /** The name of the coding in records. */
  readonly codingName?: string
  /** Data of earlier requests: already judged, and only matches that continue into this one count. */
  readonly before?: Uint8Array
}

/**
 * Searches and judges one outgoing run of bytes. A small one is searched here, on the main thread. One that is longer, compressed or unexpectedly costly goes
 * to a searcher thread, with all that follows it.
 */
export class Looking {
  readonly #outflow: Outflow
  readonly #way: Required<Way>
  readonly #judging: Judging
  /** Undefined: nothing has been written yet. Null: not searched here. */
  #near: Near | null | undefined
  #far: FarRun | null = null
  #said: Buffer = Buffer.alloc(0)
  #heldBytes = 0
  #isClosed = false

  constructor(outflow: Outflow, lane: Lane, place: DlpPlace, way: Way = {}) {
    this.#outflow = outflow
    this.#way = { which: 'rules', coding: null, codingName: '', before: NOTHING, ...way }
    const { coding, codingName, before } = this.#way
    this.#near = coding === null ? undefined : null
    this.#judging = new Judging(outflow, lane, place, { before: before.length, hiddenIn: coding === null ? [] : [codingName] })
  }

  /** Null: nothing that must not leave. */
  async write(bytes: Uint8Array): Promise<Ground | null> {
    if (this.#near !== null && this.#said.length + bytes.length <= NEAR_BYTES) {
      await this.#outflow.nearTurn()
      this.#near ??= new Near(this.#outflow, this.#way.which, this.#way.before)
      const told = this.#near.write(bytes)
      this.#said = told === null ? this.#said : Buffer.concat([this.#said, bytes])
      if (told !== null) return this.#judge(told)
    }
    return await this.#asked(async () => (await this.#moved()).write(bytes))
  }

  async settle(): Promise<Ground | null> {
    const told = this.#near?.settle() ?? null
    return told === null ? await this.#asked(async () => (await this.#moved()).settle()) : this.#judge(told)
  }

  unscannable(what: string): Ground | null {
    return this.#judging.unscannable(what)
  }

  get heldBytes(): number {
    return this.#heldBytes < LEAST_HELD ? 0 : this.#heldBytes
  }

  get redactions(): Span[] {
    return this.#judging.redactions
  }

  /** The run has ended or been abandoned. */
  close(): void {
    this.#isClosed = true
    this.#far?.close()
  }

  async #asked(ask: () => Promise<Told>): Promise<Ground | null> {
    try {
      return this.#judge(await ask())
    } catch (failure) {
      if (!(failure instanceof NotSearched)) throw failure
      return this.#judging.ground ?? { rule: 'dlp:search', reason: `it could not be searched: ${failure.message}` }
    }
  }

  async #moved(): Promise<FarRun> {
    if (this.#far !== null) return this.#far
    this.#near = null
    const { which, coding, before } = this.#way
    const { policy, sandbox, canaries } = this.#outflow
    this.#far = await this.#outflow.searchers.begin(sandbox, { policy: policy.source, which, canaries, coding, before }, this.#said)
    this.#said = Buffer.alloc(0)
    if (this.#isClosed) this.#far.close()
    return this.#far
  }

  #judge({ findings, heldBytes }: Told): Ground | null {
    this.#heldBytes = heldBytes
    return this.#judging.judge(findings)
  }
}

/** Searches a short text in one go. If that exceeds its work limit, the content is unknown, which counts as a finding. */
export function glance(outflow: Outflow, lane: Lane, place: DlpPlace, text: string): { ground: Ground | null; hasFound: boolean } {
  const near = new Near(outflow, 'joining', NOTHING)
  const judging = new Judging(outflow, lane, place)
  const told = [near.write(Buffer.from(text)), near.settle()]
  for (const one of told) {
    if (one === null) judging.unscannable('too much work')
    else judging.judge(one.findings)
  }
  return judging
}

/** A search on the main thread. Null: it took too much work, and nothing is known about the last piece. */
class Near {
  readonly #scanner: Scanner
  #findings: Finding[] = []

  constructor({ policy, watch }: Outflow, which: Which, before: Uint8Array) {
    this.#scanner = new Scanner(policy[which], watch, (finding) => this.#findings.push(finding), NEAR_STEPS)
    if (before.length === 0) return
    this.#scanner.write(before)
    this.#scanner.broken()
    this.#findings = []
  }

  write(bytes: Uint8Array): Told | null {
    this.#scanner.write(bytes)
    return this.#told()
  }

  settle(): Told | null {
    this.#scanner.settle()
    return this.#told()
  }

  #told(): Told | null {
    const findings = this.#findings
    this.#findings = []
    return this.#scanner.isSpent ? null : { findings, heldBytes: this.#scanner.heldBytes }
  }
}
