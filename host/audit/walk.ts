import { hashOf } from './chain.ts'
import { flawOf } from './checkpoint.ts'
import type { Head } from './head.ts'
import { parsedLine } from './lines.ts'
import type { PublicKey } from './signing-key.ts'
import type { Vouched } from './terminals/checking.ts'

/** A line of the log; numbers start at 1, and 0 is the file as a whole. */
export interface At {
  readonly file: string
  readonly line: number
}

/** A fact about the log that its reader must know. */
export interface Told extends At {
  readonly what: string
}

export interface Verified {
  /** The first record that differs from what was written; null: none. */
  readonly bad: Told | null
  readonly records: number
  readonly files: number
  readonly checkpoints: number
  /** Records after the last one that a signed checkpoint covers: only the chain vouches for them. */
  readonly unsigned: number
  /** Number and hash of the last record; null: none. */
  readonly end: { readonly seq: number; readonly hash: string } | null
  /** What writers reported and survived: torn lines, a clock that was set back, files removed by retention, lines from before there was a chain. */
  readonly told: readonly Told[]
}

interface Entry extends At {
  readonly seq: number
  readonly prev: string
  readonly hash: string
  readonly fields: Readonly<Record<string, unknown>>
}

const NOTHING = '0'.repeat(64)
/** A checkpoint covers a recent record, so only recent hashes are kept. */
const REMEMBERED = 65_536

/** Reads a log line by line, oldest first, up to the first fault. */
export class Walk {
  bad: Told | null = null
  /** Recordings that records vouch for. */
  readonly terminals: Vouched[] = []
  readonly #key: PublicKey
  readonly #head: Head | Told
  readonly #told: Told[] = []
  #last: Entry | undefined
  /** A record whose `prev` differs from its predecessor's hash. The record after it shows which of the two was changed. */
  #doubt: { before: Entry; at: Entry } | undefined
  /** Lines that are not records; the next record must account for them. */
  #strange: { at: At; bytes: number; hash: string; count: number } | undefined
  /** The first record, if others preceded it; a later record must say that those were removed. */
  #start: Entry | undefined
  #records = 0
  #checkpoints = 0
  #signedTo = -1
  #isHeadSeen: boolean
  readonly #hashes = new Map<number, string>()

  constructor(key: PublicKey, head: Head | Told) {
    this.#key = key
    this.#head = head
    this.#isHeadSeen = !('next' in head) || head.next === 0
  }

  /** Takes a line without its newline. */
  take(line: Buffer, at: At): void {
    const fields = parsedLine(line.toString())
    const { seq, prev } = fields ?? {}
    if (fields === undefined || typeof seq !== 'number' || typeof prev !== 'string') return this.#takeStrange(line, at)
    const entry = { ...at, seq, prev, fields, hash: hashOf(line) }
    this.#settleDoubt(entry.prev)
    if (this.bad === null) this.#ownUp(entry)
    if (this.bad === null) this.#follow(entry)
    if (this.bad === null) this.#judge(entry)
  }

  /** Takes the text after a file's last newline. */
  endsWith(line: Buffer, at: At): void {
    if (this.#strange !== undefined) return this.#fail(this.#strange.at, 'it is no record of the chain')
    this.#told.push({ ...at, what: `half a line of ${line.length} bytes, of a writer that was killed; the next one will record it` })
  }

  result(files: number): Verified {
    if (this.bad === null) this.#close()
    const end = this.#last === undefined ? null : { seq: this.#last.seq, hash: this.#last.hash }
    const unsigned = end === null ? 0 : end.seq - this.#signedTo
    return { bad: this.bad, records: this.#records, files, checkpoints: this.#checkpoints, unsigned, end, told: this.#told }
  }

  #fail({ file, line }: At, what: string): void {
    this.bad ??= { file, line, what }
  }

  #takeStrange(line: Buffer, at: At): void {
    if (this.#strange !== undefined && this.#last !== undefined) return this.#fail(this.#strange.at, 'it is no record of the chain')
    const count = (this.#strange?.count ?? 0) + 1
    this.#strange = { at: this.#strange?.at ?? at, bytes: line.length, hash: hashOf(line), count }
  }

  #settleDoubt(prev: string): void {
    if (this.#doubt === undefined) return
    const { before, at } = this.#doubt
    // If the next record confirms this one, its predecessor was changed.
    this.#fail(prev === at.hash ? before : at, 'it was changed after it had been written')
  }

  /** Checks that this record accounts for the preceding lines that are not records. */
  #ownUp({ fields }: Entry): void {
    const strange = this.#strange
    if (strange === undefined) return
    const { kind, bytes, hash } = fields
    const isTorn = kind === 'torn' && bytes === strange.bytes && hash === strange.hash
    if (isTorn && strange.count === 1) {
      this.#strange = undefined
      this.#told.push({ ...strange.at, what: `half a line of ${strange.bytes} bytes, of a writer that was killed` })
    } else if (this.#last === undefined && isTorn) {
      this.#strange = { ...strange, count: strange.count - 1 }
    } else if (kind === 'unchained' && this.#records <= 1) {
      this.#strange = undefined
      this.#told.push({ ...strange.at, what: `${strange.count} lines from before there was a chain; nothing vouches for them` })
    } else {
      this.#fail(strange.at, 'it is no record of the chain')
    }
  }

  #follow(entry: Entry): void {
    const last = this.#last
    const due = last === undefined ? 0 : last.seq + 1
    if (last === undefined) {
      if (entry.seq !== 0) this.#start = entry
      else if (entry.prev !== NOTHING) this.#fail(entry, 'it was changed after it had been written')
    } else if (entry.seq !== due) {
      const where =
        entry.seq > due
          ? `records ${due} to ${entry.seq - 1} are missing before it, or stand elsewhere`
          : 'it stands in another place, or twice'
      const changed = entry.prev === last.hash ? 'its number was changed' : where
      const told = entry.fields['kind'] === 'broken' ? `; a writer found that ${String(entry.fields['what'])}` : ''
      this.#fail(entry, `it is record ${entry.seq} where ${due} was due: ${changed}${told}`)
    } else if (entry.prev !== last.hash) {
      this.#doubt = { before: last, at: entry }
    }
    this.#last = entry
    this.#records += 1
    this.#hashes.set(entry.seq, entry.hash)
    this.#hashes.delete(entry.seq - REMEMBERED)
    if ('next' in this.#head && entry.seq === this.#head.next - 1) this.#meetHead(entry, this.#head)
  }

  #meetHead(entry: Entry, { hash }: Head): void {
    this.#isHeadSeen = true
    if (entry.hash === hash) return this.#settleDoubt(entry.hash)
    this.#fail(entry, 'it was changed after it had been written')
  }

  #judge(entry: Entry): void {
    const { kind, key, what, was, is, removed } = entry.fields
    if ((kind === 'begin' || kind === 'segment') && key !== this.#key.id) {
      this.#fail(entry, `the installation ${String(key)} began it, and the key is that of ${this.#key.id}`)
    }
    if (kind === 'checkpoint') this.#hold(entry)
    if (kind === 'terminal-end') this.terminals.push(entry.fields as unknown as Vouched)
    if (kind === 'broken') this.#fail(entry, `a writer found that ${String(what)}`)
    if (kind === 'clock') this.#told.push({ ...place(entry), what: `the clock was set back from ${String(was)} to ${String(is)}` })
    if (kind === 'retention') {
      this.#told.push({ ...place(entry), what: `${String(removed)} was removed when its time was over` })
      const start = this.#start
      if (entry.fields['lastSeq'] === (start?.seq ?? 0) - 1 && entry.fields['hash'] === start?.prev) this.#start = undefined
    }
  }

  #hold(entry: Entry): void {
    const flaw = flawOf(entry.fields, this.#key)
    if (flaw !== undefined) return this.#fail(entry, flaw)
    const { covers } = entry.fields as { covers: { seq: number; hash: string } }
    const isBeforeStart = this.#start !== undefined && covers.seq < this.#start.seq
    if (!isBeforeStart && this.#hashes.get(covers.seq) !== covers.hash) {
      return this.#fail(entry, `it vouches for another record ${covers.seq} than there is`)
    }
    this.#checkpoints += 1
    this.#signedTo = covers.seq
  }

  #close(): void {
    if (this.#strange !== undefined) return this.#fail(this.#strange.at, 'it is no record of the chain')
    const last = this.#last
    if (this.#doubt !== undefined) this.#fail(this.#doubt.at, 'it was changed after it had been written')
    if (this.#start !== undefined) {
      this.#fail(this.#start, `records 0 to ${this.#start.seq - 1} are missing before it, and no record says that they were removed`)
    }
    if ('what' in this.#head) this.#fail(this.#head, this.#head.what)
    else if (!this.#isHeadSeen) {
      const from = last === undefined ? 0 : last.seq + 1
      this.#fail(last ?? { file: 'audit.jsonl', line: 0 }, `records ${from} to ${this.#head.next - 1} are missing behind it`)
    }
  }
}

function place({ file, line }: At): At {
  return { file, line }
}
