import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { hashOf } from '../chain.ts'
import type { Variables } from '../redaction.ts'
import { castsIn, type Kept, TERMINALS } from './casts.ts'
import { Recording, type Sealed, type Size, type Written } from './recording.ts'

/** All sessions of one sandbox together may be as long as so many: how many there are is its own choice. */
const SESSIONS_OF_ONE = 4

/** `output`: what was shown; `all`: what was typed as well, and with it passwords. */
export type TerminalMode = 'off' | 'output' | 'all'

export interface TerminalOptions {
  readonly mode: TerminalMode
  /** Of one session, and of all of one sandbox four times that; what is shown beyond is not recorded, and the record of the session says so. */
  readonly maxBytes: number
}

export type TerminalRecord =
  /** A session begins. `input`: what is typed is recorded, too. */
  | { kind: 'terminal'; sandbox: string; terminal: string; columns: number; rows: number; input: boolean }
  /** It is over; `interrupted`: for the recording, and the session may have gone on. */
  | ({ kind: 'terminal-end'; sandbox: string; terminal: string; interrupted: boolean } & Sealed)

/** A session that is being recorded. */
export interface Session {
  readonly recording: Recording
  readonly input: boolean
}

/** Sessions on terminals, each in a file beside the log (0600), which the record that ends it has the hash of. */
export class Terminals implements Disposable {
  readonly #folder: string
  readonly #options: TerminalOptions
  readonly #append: (record: TerminalRecord) => number
  readonly #secrets: (variables: Variables) => readonly string[]
  readonly #live = new Map<string, Recording>()
  #isInterrupted = false

  /** `folder`: of the log. `append` answers with the number of the record, `secrets` with the values that are not to be recorded. */
  constructor(
    folder: string,
    options: TerminalOptions,
    append: (record: TerminalRecord) => number,
    secrets: (variables: Variables) => readonly string[],
  ) {
    this.#folder = join(folder, TERMINALS)
    this.#options = options
    this.#append = append
    this.#secrets = secrets
  }

  /** `variables`: those that what runs there starts with; `ofSandbox`: the same for all of its sessions. Undefined: terminals are not recorded. Throws AUDIT_UNWRITABLE: then there is to be no session. */
  begin(sandbox: string, size: Size, variables: Variables = {}, ofSandbox: Written = { bytes: 0 }): Session | undefined {
    const { mode, maxBytes } = this.#options
    if (mode === 'off') return undefined
    const secrets = this.#secrets(variables)
    const terminal = `t${randomBytes(10).toString('hex')}`
    const input = mode === 'all'
    this.#append({ kind: 'terminal', sandbox, terminal, ...size, input })
    const path = join(this.#folder, `${terminal}.${process.pid}.${sandbox}.part`)
    const seal = (sealed: Sealed) => {
      this.#live.delete(terminal)
      this.#keep({ terminal, path, sandbox }, sealed, this.#isInterrupted)
    }
    const bounds = { maxBytes, ofSandbox, maxOfSandboxBytes: maxBytes * SESSIONS_OF_ONE }
    const recording = new Recording({ path, ...bounds, title: `${sandbox} ${terminal}`, secrets, seal }, size)
    this.#live.set(terminal, recording)
    return { recording, input }
  }

  /** Sessions that a host recorded which did not live to say so. */
  sealOrphans(): void {
    for (const { terminal, path, pid, sandbox } of castsIn(this.#folder)) {
      if (pid === null || sandbox === null || isAlive(pid)) continue
      const text = readFileSync(path)
      this.#keep({ terminal, path, sandbox }, { bytes: text.length, sha256: hashOf(text), truncated: false }, true)
    }
  }

  /** How many bytes of recordings go with each file of the log, the oldest first, by the number of its last record: those that end in it; null: all others. */
  weights(lastSeqs: readonly (number | null)[]): number[] {
    const weights = lastSeqs.map(() => 0)
    for (const { path, endSeq } of castsIn(this.#folder)) {
      const file = lastSeqs.findIndex((lastSeq) => lastSeq === null || (endSeq !== null && endSeq <= lastSeq))
      if (file >= 0) weights[file] = (weights[file] ?? 0) + (statSync(path, { throwIfNoEntry: false })?.size ?? 0)
    }
    return weights
  }

  /** Those whose records have gone. */
  removeUpTo(seq: number): void {
    for (const { path, endSeq } of castsIn(this.#folder)) if (endSeq !== null && endSeq <= seq) rmSync(path, { force: true })
  }

  /** Sessions go on; their recordings end. */
  [Symbol.dispose](): void {
    this.#isInterrupted = true
    for (const recording of this.#live.values()) recording.end()
  }

  #keep({ terminal, path, sandbox }: Pick<Kept, 'terminal' | 'path'> & { sandbox: string }, sealed: Sealed, interrupted: boolean): void {
    const seq = this.#append({ kind: 'terminal-end', sandbox, terminal, ...sealed, interrupted })
    renameSync(path, join(this.#folder, `${terminal}.${seq}.cast`))
  }
}

/** Its number may be another's by now; then the next host finds it gone. */
function isAlive(pid: number): boolean {
  return pid !== process.pid && statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined
}
