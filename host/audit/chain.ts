import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { Fault } from '@caisson/wire'
import type { Asked, Variables } from './redaction.ts'

/** Position of a record: its number, and the hash (SHA-256, hexadecimal) of its line without the newline. */
export interface Place {
  readonly seq: number
  readonly hash: string
}

interface Recorder {
  open(path: string): unknown
  append(log: unknown, fields: string): string
  end(log: unknown): string
  rotate(log: unknown, bytes: number, fields: string): string
  redacted(log: unknown, asked: string): string
  secret(name: string): string
  close(log: unknown): void
}

const MAX_NAMES = 4096
const require = createRequire(import.meta.url)

/** The log as native/audit writes it, for keepers and hosts alike: Node has no call that locks a file. Every member throws AUDIT_UNWRITABLE. */
export class Chain implements Disposable {
  readonly #path: string
  readonly #recorder: Recorder
  readonly #log: unknown
  /** Variable names, and whether each means a secret: they recur from command to command. */
  readonly #names = new Map<string, boolean>()

  /** `recorder`: path of the library built from native/recorder. */
  constructor(recorder: string, path: string) {
    this.#path = path
    this.#recorder = require(recorder) as Recorder
    this.#log = this.#do(() => this.#recorder.open(path))
  }

  /** Appends `fields`, a one-line JSON object. It is in the log when this returns. */
  append(fields: string): Place {
    return placeOf(this.#do(() => this.#recorder.append(this.#log, fields)))
  }

  /** Undefined: the log is empty. */
  end(): Place | undefined {
    const said = this.#do(() => this.#recorder.end(this.#log))
    return said === '' ? undefined : placeOf(said)
  }

  /** If the current file has reached `bytes`, starts a new one with `fields` first, and returns the name of the full one. */
  rotate(bytes: number, fields: string): string | undefined {
    return this.#do(() => this.#recorder.rotate(this.#log, bytes, fields)) || undefined
  }

  /** Removes the values of stored secrets, the values of variables with secret-sounding names, and anything that looks like a secret. */
  redacted({ words, texts }: Asked, variables: Variables): Asked {
    const asked = JSON.stringify({ words, texts, known: this.secretsOf(variables) })
    return JSON.parse(this.#do(() => this.#recorder.redacted(this.#log, asked))) as Asked
  }

  /** Values of the variables whose names say that they are secrets. */
  secretsOf(variables: Variables): string[] {
    return Object.entries(variables).flatMap(([name, value]) => (this.#isSecret(name) ? [value] : []))
  }

  [Symbol.dispose](): void {
    this.#recorder.close(this.#log)
  }

  #isSecret(name: string): boolean {
    const known = this.#names.get(name)
    if (known !== undefined) return known
    if (this.#names.size >= MAX_NAMES) this.#names.clear()
    const isSecret = this.#do(() => this.#recorder.secret(name)) !== ''
    this.#names.set(name, isSecret)
    return isSecret
  }

  #do<T>(what: () => T): T {
    try {
      return what()
    } catch (cause) {
      throw new Fault('AUDIT_UNWRITABLE', `${this.#path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  }
}

function placeOf(said: string): Place {
  const [seq, hash] = JSON.parse(said) as [number, string]
  return { seq, hash }
}

/** The hash of a line without its newline. */
export function hashOf(line: string | Buffer): string {
  return createHash('sha256').update(line).digest('hex')
}
