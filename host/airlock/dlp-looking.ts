import { type Finding, Scanner } from '@caisson/policy'
import type { DlpPlace } from '@caisson/wire'
import type { Lane, Outflow } from './dlp-outflow.ts'
import { Judging, type Span } from './dlp-verdicts.ts'
import type { Ground } from './inspect/passage.ts'
import type { FarRun } from './search/searchers.ts'
import { type Coding, NotSearched, type Told, type Which } from './search/words.ts'

/** A hold of fewer bytes is not worth a stalled conversation: they are the constant beginnings of what is looked for. */
const LEAST_HELD = 4
/** What is searched on the thread that everything else of the host happens on: so little, and with so little work. */
const NEAR_BYTES = 4096
const NEAR_STEPS = 128 * 1024
const NOTHING = new Uint8Array(0)

export interface Way {
  readonly which?: Which
  /** It is unpacked before it is searched. */
  readonly coding?: Coding | null
  /** How that is called in records. */
  readonly codingName?: string
  /** What went before, in other requests: it has been judged, and only what goes on in this one counts. */
  readonly before?: Uint8Array
}

/**
 * One run of bytes on its way out, searched and judged. A little is searched here, at once; what is longer, packed, or more work than it
 * looks like goes to a searcher, and so does all that follows it.
 */
export class Looking {
  readonly #outflow: Outflow
  readonly #way: Required<Way>
  readonly #judging: Judging
  /** Undefined: nothing has been said yet. Null: it is not searched here. */
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

  /** It is over, or nobody wants it any more. */
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

/** A short text, in one go. What takes more work than it may is not known, which is a finding of its own. */
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

/** A search on this thread. Null: it was too much work, and nothing is known of what was given last. */
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
