import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { hashOf } from '../chain.ts'
import type { Variables } from '../redaction.ts'
import { castsIn, type Kept, TERMINALS } from './casts.ts'
import { Recording, type Sealed, type Size } from './recording.ts'

/** `output`: what was shown; `all`: what was typed as well, and with it passwords. */
export type TerminalMode = 'off' | 'output' | 'all'

export interface TerminalOptions {
  readonly mode: TerminalMode
  /** Of one session; what it shows beyond is not recorded, and its record says so. */
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

  /** `variables`: those that what runs there starts with. Undefined: terminals are not recorded. Throws AUDIT_UNWRITABLE: then there is to be no session. */
  begin(sandbox: string, size: Size, variables: Variables = {}): Session | undefined {
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
    const recording = new Recording({ path, maxBytes, title: `${sandbox} ${terminal}`, secrets, seal }, size)
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
