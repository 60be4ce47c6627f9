import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, readSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Line } from './keeper.ts'

const MAX_WORDS_BYTES = 4096

/** A keeper process, spoken with over its standard streams. It does nothing until it is given a plan, and ends when it cannot be given one any more. */
export class Started implements Line {
  readonly child: ChildProcess
  /** Its stderr: a file without a name, not a pipe, because the keeper may outlive this process, and its last words must not fail. */
  readonly #errors: number
  #isClosed = false

  constructor(program: string, folder: string) {
    const path = join(folder, `keeper-${randomUUID()}.err`)
    this.#errors = openSync(path, 'wx+', 0o600)
    unlinkSync(path)
    this.child = spawn(program, ['run'], { cwd: '/', env: {}, detached: true, stdio: ['pipe', 'pipe', this.#errors] })
    // Writing to one that has ended: its end is told by `close`.
    this.child.stdin?.on('error', () => undefined)
    this.child.on('error', () => {
      this.#isClosed = true
    })
    this.child.on('close', () => {
      this.#isClosed = true
      // After those who listen for the end as well, and may ask for its last words.
      setImmediate(() => closeSync(this.#errors))
    })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  listen(heard: (chunk: Buffer) => void, over: (detail: string, cause?: unknown) => void): void {
    this.child.on('error', (cause) => over(`the keeper could not be started: ${cause.message}`, cause))
    this.child.stdout?.on('data', heard)
    this.child.on('close', (code, signal) => over(`the keeper ended with ${signal ?? code} without a word`))
  }

  write(text: string): void {
    this.child.stdin?.write(text)
  }

  /** For a sandbox on the host's leash, this alone is its end. */
  end(): void {
    this.child.stdin?.end()
  }

  release(): void {
    this.child.stdin?.destroy()
    this.child.stdout?.destroy()
    this.child.unref()
  }

  distrust(): void {
    this.child.kill('SIGKILL')
  }

  /** What it said on stderr. To be asked for before or while `close` is told. */
  lastWords(): string {
    const bytes = Buffer.alloc(MAX_WORDS_BYTES)
    const length = readSync(this.#errors, bytes, 0, bytes.length, 0)
    return bytes.toString('utf8', 0, length).trim()
  }

  /** Whether this process waits for it to end. */
  keepAlive(wanted: boolean): void {
    for (const one of [this.child, this.child.stdin, this.child.stdout] as ({ ref(): void; unref(): void } | null)[]) {
      if (wanted) one?.ref()
      else one?.unref()
    }
  }
}

/**
 * Starts keepers. Forking a process of Node's size takes milliseconds: a host that makes sandboxes has the next keeper started when the last
 * one is at work.
 */
export class Keepers implements AsyncDisposable {
  readonly #program: string
  readonly #folder: string
  #spare: Started | undefined
  #taken = 0
  #isOver = false

  /** `folder` is where files without a name may be made. */
  constructor(program: string, folder: string) {
    this.#program = program
    this.#folder = folder
  }

  take(): Started {
    this.#taken += 1
    const spare = this.#spare
    this.#spare = undefined
    if (spare === undefined || spare.isClosed) return new Started(this.#program, this.#folder)
    spare.keepAlive(true)
    return spare
  }

  /** To be called when there is time. Does nothing for a host that has made one sandbox and may never make another. */
  prepare(): void {
    if (this.#isOver || this.#taken < 2 || this.#spare?.isClosed === false) return
    this.#spare = new Started(this.#program, this.#folder)
    this.#spare.keepAlive(false)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    const spare = this.#spare
    if (spare === undefined || spare.isClosed) return
    const closed = new Promise((resolve) => spare.child.on('close', resolve))
    spare.keepAlive(true)
    spare.child.stdout?.resume()
    spare.child.stdin?.end()
    await closed
  }
}
