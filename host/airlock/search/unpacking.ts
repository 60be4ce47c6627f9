import { once } from 'node:events'
import { createBrotliDecompress, createInflate, createInflateRaw } from 'node:zlib'
import type { Coding } from './words.ts'

/** What may come out: so much, and so many times what went in. */
const OUT_BYTES = 4 * 1024 * 1024
const OUT_RATIO = 100

const HEAD_BYTES = 2
const DEFLATE = 8

/** How it went on: null, well; else what is wrong with it. */
export type Unpacked = 'bomb' | 'broken' | null

type Unpacker = ReturnType<typeof createInflate | typeof createBrotliDecompress>

/** Unpacks as it comes. Whatever is wrong with it, it is told once, and nothing is unpacked from then on. */
export class Unpacking {
  readonly #coding: Coding
  readonly #out: (bytes: Uint8Array) => void
  #stream: Unpacker | null = null
  #over: Promise<unknown> = Promise.resolve()
  /** Before it is known what it is. */
  #first: Buffer = Buffer.alloc(0)
  #given = 0
  #got = 0
  #isOver = false
  #wrong: Unpacked = null

  constructor(coding: Coding, out: (bytes: Uint8Array) => void) {
    this.#coding = coding
    this.#out = out
  }

  #begin(): Unpacker {
    if (this.#stream !== null) return this.#stream
    const stream = this.#coding === 'br' ? createBrotliDecompress() : isZlib(this.#first) ? createInflate() : createInflateRaw()
    stream.on('data', (bytes: Buffer) => {
      this.#got += bytes.length
      if (this.#got > OUT_BYTES + OUT_RATIO * this.#given) this.#stop('bomb')
      else this.#out(bytes)
    })
    stream.on('end', () => {
      this.#isOver = true
    })
    this.#stream = stream
    this.#over = Promise.race([once(stream, 'end'), once(stream, 'close')]).catch(() => this.#stop('broken'))
    return stream
  }

  /** Resolves when all that can be known of these bytes has come out. */
  async feed(bytes: Uint8Array): Promise<Unpacked> {
    if (this.#wrong !== null) return null
    // What follows the end is read by nobody but whoever wants it.
    if (this.#isOver) return this.#stop('broken')
    this.#given += bytes.length
    const all = this.#first.length === 0 ? bytes : Buffer.concat([this.#first, bytes])
    if (this.#stream === null) this.#first = Buffer.from(all)
    if (this.#given < HEAD_BYTES) return null
    const stream = this.#begin()
    this.#first = Buffer.alloc(0)
    await Promise.race([new Promise((resolve) => stream.write(all, resolve)), this.#over])
    if (this.#wrong === null && this.#isOver && stream.bytesWritten < this.#given) return this.#stop('broken')
    return this.#wrong
  }

  /** What was cut off is as good as broken. */
  async end(): Promise<Unpacked> {
    if (this.#wrong !== null || this.#given === 0) return null
    // So little of it packs nothing.
    this.#begin().end(this.#first)
    await this.#over
    return this.#wrong
  }

  close(): void {
    this.#stream?.destroy()
  }

  #stop(wrong: 'bomb' | 'broken'): Unpacked {
    this.#wrong ??= wrong
    this.#stream?.destroy()
    return this.#wrong
  }
}

/** `deflate` is zlib; some leave its head away, and those who unpack it take either: what has no proper head has none (RFC 1950, 2.2). */
function isZlib([first = 0, second = 0]: Buffer): boolean {
  return first % 16 === DEFLATE && first < 128 && (first * 256 + second) % 31 === 0
}
