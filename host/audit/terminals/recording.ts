import { createHash } from 'node:crypto'
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import { Fault } from '@caisson/wire'
import { TakingOut } from './taking-out.ts'

export interface Size {
  readonly columns: number
  readonly rows: number
}

/** What the final record says about the file of a finished session. */
export interface Sealed {
  readonly bytes: number
  readonly sha256: string
  /** The session went on after the file, or all files of its sandbox together, had reached the size limit. */
  readonly truncated: boolean
}

/** Total size of one sandbox's sessions so far, not counting those of other hosts. */
export interface Written {
  bytes: number
}

export interface RecordingOptions {
  readonly path: string
  readonly maxBytes: number
  readonly ofSandbox: Written
  readonly maxOfSandboxBytes: number
  readonly title: string
  /** Values that must not appear in it. */
  readonly secrets: readonly string[]
  /** Called once, at the end. */
  readonly seal: (sealed: Sealed) => void
}

/** The recording of what one terminal shows: asciicast v2. Times come from this host's clock, not from the sandbox. */
export class Recording {
  readonly #options: RecordingOptions
  readonly #file: number
  readonly #hash = createHash('sha256')
  readonly #begunMs = performance.now()
  readonly #shown = new StringDecoder('utf8')
  readonly #typed = new StringDecoder('utf8')
  readonly #fromShown: TakingOut
  readonly #fromTyped: TakingOut
  #bytes = 0
  #isFull = false
  #isOver = false

  /** Throws AUDIT_UNWRITABLE, as does every member that writes. */
  constructor(options: RecordingOptions, { columns, rows }: Size) {
    this.#options = options
    this.#fromShown = new TakingOut(options.secrets)
    this.#fromTyped = new TakingOut(options.secrets)
    this.#file = this.#do(() => {
      mkdirSync(dirname(options.path), { recursive: true, mode: 0o700 })
      return openSync(options.path, 'wx', 0o600)
    })
    const timestamp = Math.floor(Date.now() / 1000)
    this.#line({ version: 2, width: columns, height: rows, timestamp, title: options.title, env: { TERM: 'xterm-256color' } })
  }

  shown(bytes: Uint8Array): void {
    this.#event('o', this.#fromShown.next(this.#shown.write(Buffer.from(bytes))))
  }

  typed(bytes: Uint8Array): void {
    this.#event('i', this.#fromTyped.next(this.#typed.write(Buffer.from(bytes))))
  }

  resized({ columns, rows }: Size): void {
    this.#event('r', `${columns}x${rows}`)
  }

  /** Idempotent. */
  end(): void {
    if (this.#isOver) return
    try {
      this.#event('o', this.#fromShown.end())
      this.#event('i', this.#fromTyped.end())
    } finally {
      this.#isOver = true
      closeSync(this.#file)
      this.#options.seal({ bytes: this.#bytes, sha256: this.#hash.digest('hex'), truncated: this.#isFull })
    }
  }

  #event(kind: 'o' | 'i' | 'r' | 'm', text: string): void {
    if (text === '' || this.#isOver || this.#isFull) return
    const { maxBytes, ofSandbox, maxOfSandboxBytes } = this.#options
    this.#isFull = this.#bytes + text.length > maxBytes || ofSandbox.bytes + text.length > maxOfSandboxBytes
    const seconds = Number(((performance.now() - this.#begunMs) / 1000).toFixed(6))
    this.#line(this.#isFull ? [seconds, 'm', 'the recording is as long as it may be; the session went on'] : [seconds, kind, text])
  }

  #line(value: unknown): void {
    const line = Buffer.from(`${JSON.stringify(value)}\n`)
    this.#do(() => {
      for (let from = 0; from < line.length; ) from += writeSync(this.#file, line, from)
    })
    this.#hash.update(line)
    this.#bytes += line.length
    this.#options.ofSandbox.bytes += line.length
  }

  #do<T>(what: () => T): T {
    try {
      return what()
    } catch (cause) {
      throw new Fault('AUDIT_UNWRITABLE', `${this.#options.path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  }
}
