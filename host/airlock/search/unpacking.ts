import { once } from 'node:events'
import { createBrotliDecompress, createInflateRaw } from 'node:zlib'
import type { Coding } from './words.ts'

/** What may come out: so much, and so many times what went in. */
const OUT_BYTES = 4 * 1024 * 1024
const OUT_RATIO = 100

/** How it went on: null, well; else what is wrong with it. */
export type Unpacked = 'bomb' | 'broken' | null

/** Unpacks as it comes. Whatever is wrong with it, it is told once, and nothing is unpacked from then on. */
export class Unpacking {
  readonly #stream: ReturnType<typeof createInflateRaw | typeof createBrotliDecompress>
  readonly #over: Promise<unknown>
  #given = 0
  #got = 0
  #isOver = false
  #wrong: Unpacked = null

  constructor(coding: Coding, out: (bytes: Uint8Array) => void) {
    this.#stream = coding === 'br' ? createBrotliDecompress() : createInflateRaw()
    this.#stream.on('data', (bytes: Buffer) => {
      this.#got += bytes.length
      if (this.#got > OUT_BYTES + OUT_RATIO * this.#given) this.#stop('bomb')
      else out(bytes)
    })
    this.#stream.on('end', () => {
      this.#isOver = true
    })
    this.#over = Promise.race([once(this.#stream, 'end'), once(this.#stream, 'close')]).catch(() => this.#stop('broken'))
  }

  /** Resolves when all that can be known of these bytes has come out. */
  async feed(bytes: Uint8Array): Promise<Unpacked> {
    if (this.#wrong !== null) return null
    // What follows the end is read by nobody but whoever wants it.
    if (this.#isOver) return this.#stop('broken')
    this.#given += bytes.length
    await Promise.race([new Promise((resolve) => this.#stream.write(bytes, resolve)), this.#over])
    if (this.#wrong === null && this.#isOver && this.#stream.bytesWritten < this.#given) return this.#stop('broken')
    return this.#wrong
  }

  /** What was cut off is as good as broken. */
  async end(): Promise<Unpacked> {
    if (this.#wrong !== null || this.#given === 0) return null
    this.#stream.end()
    await this.#over
    return this.#wrong
  }

  close(): void {
    this.#stream.destroy()
  }

  #stop(wrong: 'bomb' | 'broken'): Unpacked {
    this.#wrong ??= wrong
    this.#stream.destroy()
    return this.#wrong
  }
}
