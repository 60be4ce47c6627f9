import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { hashOf } from '../chain.ts'
import type { Variables } from '../redaction.ts'
import { castsIn, type Kept, TERMINALS } from './casts.ts'
import { Recording, type Sealed, type Size, type Written } from './recording.ts'

/** All sessions of one sandbox together may be this many times the limit of one: the sandbox itself chooses how many there are. */
const SESSIONS_OF_ONE = 4

/** `output`: what was shown; `all`: also what was typed, including passwords. */
export type TerminalMode = 'off' | 'output' | 'all'

export interface TerminalOptions {
  readonly mode: TerminalMode
  /** Limit for one session; all sessions of one sandbox together have four times that. Output beyond it is not recorded, and the session's record says so. */
  readonly maxBytes: number
}

export type TerminalRecord =
  /** A session begins. `input`: keyboard input is recorded too. */
  | { kind: 'terminal'; sandbox: string; terminal: string; columns: number; rows: number; input: boolean }
  /** The session is over; `interrupted`: only the recording is, and the session may have gone on. */
  | ({ kind: 'terminal-end'; sandbox: string; terminal: string; interrupted: boolean } & Sealed)

/** A session being recorded. */
export interface Session {
  readonly recording: Recording
  readonly input: boolean
}

/** Recordings of terminal sessions, each in a file beside the log (0600); the session's final record has its hash. */
export class Terminals implements Disposable {
  readonly #folder: string
  readonly #options: TerminalOptions
  readonly #append: (record: TerminalRecord) => number
  readonly #secrets: (variables: Variables) => readonly string[]
  readonly #live = new Map<string, Recording>()
  #isInterrupted = false

  /** `folder`: the log's. `append` returns the record's number, `secrets` the values that must not be recorded. */
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

  /**
   * `variables`: the environment of the program in the session; `ofSandbox`: one object for all sessions of a sandbox. Undefined: terminals are not recorded.
   * Throws AUDIT_UNWRITABLE, and then the session must not start.
   */
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

  /** Seals recordings of hosts that died before they could. */
  sealOrphans(): void {
    for (const { terminal, path, pid, sandbox } of castsIn(this.#folder)) {
      if (pid === null || sandbox === null || isAlive(pid)) continue
      const text = readFileSync(path)
      this.#keep({ terminal, path, sandbox }, { bytes: text.length, sha256: hashOf(text), truncated: false }, true)
    }
  }

  /** Bytes of recordings per log file, oldest first. A file, given by its last record's number, owns those that end in it; null owns the others. */
  weights(lastSeqs: readonly (number | null)[]): number[] {
    const weights = lastSeqs.map(() => 0)
    for (const { path, endSeq } of castsIn(this.#folder)) {
      const file = lastSeqs.findIndex((lastSeq) => lastSeq === null || (endSeq !== null && endSeq <= lastSeq))
      if (file >= 0) weights[file] = (weights[file] ?? 0) + (statSync(path, { throwIfNoEntry: false })?.size ?? 0)
    }
    return weights
  }

  /** Removes recordings whose records have been removed. */
  removeUpTo(seq: number): void {
    for (const { path, endSeq } of castsIn(this.#folder)) if (endSeq !== null && endSeq <= seq) rmSync(path, { force: true })
  }

  /** Sessions continue; their recordings end. */
  [Symbol.dispose](): void {
    this.#isInterrupted = true
    for (const recording of this.#live.values()) recording.end()
  }

  #keep({ terminal, path, sandbox }: Pick<Kept, 'terminal' | 'path'> & { sandbox: string }, sealed: Sealed, interrupted: boolean): void {
    const seq = this.#append({ kind: 'terminal-end', sandbox, terminal, ...sealed, interrupted })
    renameSync(path, join(this.#folder, `${terminal}.${seq}.cast`))
  }
}

/** The pid may have been reused; a later host then finds it gone. */
function isAlive(pid: number): boolean {
  return pid !== process.pid && statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined
}
