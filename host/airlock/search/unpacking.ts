import { once } from 'node:events'
import { createBrotliDecompress, createInflate, createInflateRaw } from 'node:zlib'
import type { Coding } from './words.ts'

/** Limits on the output: an absolute size, and a multiple of the input. */
const OUT_BYTES = 4 * 1024 * 1024
const OUT_RATIO = 100

const HEAD_BYTES = 2
const DEFLATE = 8

/** Null: no problem; otherwise what is wrong. */
export type Unpacked = 'bomb' | 'broken' | null

type Unpacker = ReturnType<typeof createInflate | typeof createBrotliDecompress>

/** Decompresses a stream. A problem is reported once, and decompression stops then. */
export class Unpacking {
  readonly #coding: Coding
  readonly #out: (bytes: Uint8Array) => void
  #stream: Unpacker | null = null
  #over: Promise<unknown> = Promise.resolve()
  /** The start, until its format is known. */
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

  /** Resolves when everything decodable from these bytes has come out. */
  async feed(bytes: Uint8Array): Promise<Unpacked> {
    if (this.#wrong !== null) return null
    // Data after the end is read only by a receiver that looks for it.
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

  /** A truncated stream counts as broken. */
  async end(): Promise<Unpacked> {
    if (this.#wrong !== null || this.#given === 0) return null
    // Too short to be compressed data.
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

/** `deflate` means zlib, but some omit the header and decoders accept both: without a valid header there is none (RFC 1950, 2.2). */
function isZlib([first = 0, second = 0]: Buffer): boolean {
  return first % 16 === DEFLATE && first < 128 && (first * 256 + second) % 31 === 0
}
