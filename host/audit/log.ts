import { join } from 'node:path'
import { Fault } from '@caisson/wire'
import { Chain, hashOf } from './chain.ts'
import { checkpoint } from './checkpoint.ts'
import { firstLine, lastLine, parsedLine } from './lines.ts'
import { type AuditRecord, auditFields } from './record.ts'
import { redacted, type Variables } from './redaction.ts'
import { CURRENT, outlived, remove, type Segment, segments } from './segments.ts'
import { SigningKey } from './signing-key.ts'
import { sentToAll } from './sinks/cursor.ts'
import { storedSecrets } from './stored-secrets.ts'
import { type TerminalOptions, Terminals } from './terminals/terminals.ts'

export type { Size } from './terminals/recording.ts'
export type { Session } from './terminals/terminals.ts'

export interface LogOptions {
  /** A folder for the log and its key alone. */
  readonly folder: string
  /** Path of the library built from native/recorder. */
  readonly recorder: string
  /** A file that reaches this size is rotated. */
  readonly segmentBytes: number
  /** Rotated files beyond this are removed, oldest first; 0: never. */
  readonly keep: { readonly bytes: number; readonly ms: number }
  readonly terminals: TerminalOptions
}

/** Limits how much stays unproven if the machine is taken over. */
const RECORDS_PER_CHECKPOINT = 512
const CHECKPOINT_MS = 30_000

/** Maximum total size of a terminal's secret variables: the search for them takes memory as long as the session lasts. */
const MAX_SECRET_CHARACTERS = 32 * 1024

/**
 * The append-only log of an installation (docs/decisions/0027). Hosts and keepers append concurrently. Hosts also sign its state, rotate full files, and remove
 * those past retention.
 */
export class AuditLog implements Disposable {
  readonly path: string
  readonly folder: string
  readonly terminals: Terminals
  readonly #options: LogOptions
  readonly #chain: Chain
  readonly #key: SigningKey
  readonly #timer: NodeJS.Timeout
  #unsigned = 0

  /** Throws AUDIT_UNWRITABLE, or AUDIT_FOREIGN for a log that another installation began. */
  constructor(options: LogOptions) {
    this.#options = options
    this.folder = options.folder
    this.path = join(options.folder, CURRENT)
    this.#chain = new Chain(options.recorder, this.path)
    const secrets = (variables: Variables) => [...storedSecrets(options.folder), ...fewEnough(this.#chain.secretsOf(variables))]
    this.terminals = new Terminals(options.folder, options.terminals, (record) => this.append(record), secrets)
    try {
      this.#key = SigningKey.open(options.folder)
      this.#begin()
    } catch (failure) {
      this.#chain[Symbol.dispose]()
      throw failure
    }
    this.#timer = setInterval(() => this.#unlessUnwritable(), CHECKPOINT_MS).unref()
  }

  /**
   * When this returns, the record is in the log, with secrets redacted; `variables` are the environment of the recorded action. Throws AUDIT_UNWRITABLE, and
   * then the action must not happen. Returns the record's number.
   */
  append(record: AuditRecord, variables: Variables = {}): number {
    const { seq } = this.#chain.append(auditFields(redacted(record, (asked) => this.#chain.redacted(asked, variables))))
    this.#unsigned += 1
    if (this.#unsigned >= RECORDS_PER_CHECKPOINT) this.checkpoint()
    return seq
  }

  /** Signs the chain's state, and rotates the file if it is full. Throws AUDIT_UNWRITABLE. */
  checkpoint(): void {
    const end = this.#chain.end()
    if (end === undefined) return
    this.#unsigned = 0
    this.#chain.append(auditFields(checkpoint(this.#key, end)))
    const full = this.#chain.rotate(this.#options.segmentBytes, this.#firstOfFile())
    if (full !== undefined) this.#retain()
  }

  /** Signs a text on the installation's behalf; base64. */
  sign(text: string): { key: string; signature: string } {
    return { key: this.#key.public.id, signature: this.#key.sign(text) }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.terminals[Symbol.dispose]()
    if (this.#unsigned > 0) this.#unlessUnwritable()
    this.#chain[Symbol.dispose]()
  }

  #unlessUnwritable(): void {
    try {
      this.checkpoint()
    } catch (failure) {
      // Nothing depends on this checkpoint; the next append will fail with the same error.
      if (!(failure instanceof Fault)) throw failure
    }
  }

  #begin(): void {
    const line = firstLine(this.path)
    const first = parsedLine(line)
    const ours = this.#key.public.id
    if (first?.['kind'] !== 'begin' && first?.['kind'] !== 'segment') {
      this.append({ kind: 'begin', sandbox: '', key: ours })
      // The file was begun by a keeper, or by a version without a chain. Rotate, so that the first line names the log's owner.
      if (line !== '') this.#chain.rotate(0, this.#firstOfFile())
    } else if (first['key'] !== ours) {
      throw new Fault('AUDIT_FOREIGN', `${this.path}, line 1: the installation ${String(first['key'])} began it, and this one is ${ours}`, {
        hint: `Move it away (mv ${this.folder} ${this.folder}-other), or bring back the key.pem that it was begun with.`,
      })
    }
  }

  #firstOfFile(): string {
    return auditFields({ kind: 'segment', sandbox: '', key: this.#key.public.id })
  }

  /** With the recordings that belong to each file. */
  #weighed(): Segment[] {
    const all = segments(this.folder)
    const weights = this.terminals.weights(all.map(({ lastSeq }) => lastSeq))
    return all.map((one, index) => ({ ...one, bytes: one.bytes + (weights[index] ?? 0) }))
  }

  #retain(): void {
    const sent = sentToAll(this.folder)
    for (const segment of outlived(this.#weighed(), this.#options.keep, Date.now())) {
      // Some sink has not received it yet.
      if ((segment.lastSeq ?? 0) > sent) return
      const hash = hashOf(lastLine(segment.path))
      this.append({ kind: 'retention', sandbox: '', removed: segment.name, lastSeq: segment.lastSeq ?? 0, hash })
      remove(segment)
      this.terminals.removeUpTo(segment.lastSeq ?? 0)
    }
  }
}

function fewEnough(secrets: string[]): string[] {
  const characters = secrets.reduce((sum, { length }) => sum + length, 0)
  if (characters <= MAX_SECRET_CHARACTERS) return secrets
  throw new Fault(
    'BAD_REQUEST',
    `variables that are secrets have ${characters} characters; the recording of a terminal is kept free of ${MAX_SECRET_CHARACTERS} at most`,
    { hint: 'Put what is long in a file, or start the command without a terminal.' },
  )
}
