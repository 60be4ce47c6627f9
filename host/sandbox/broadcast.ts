/** What a reader receives: any number of pieces, then one end. */
export type Heard<Piece, End> = { type: 'piece'; piece: Piece } | { type: 'end'; end: End }

/** Bytes that may be queued for one reader before the writer is blocked. */
const MAX_WAITING_BYTES = 256 * 1024

/** One subscriber. `next` must not be called concurrently. */
export class Reader<Piece extends { bytes: Uint8Array }, End> {
  readonly #forget: (reader: Reader<Piece, End>) => void
  readonly #waiting: Piece[] = []
  #bytes = 0
  #end: { end: End } | undefined
  #closed = false
  #wake: (() => void) | undefined
  #makeRoom: (() => void) | undefined

  constructor(forget: (reader: Reader<Piece, End>) => void) {
    this.#forget = forget
  }

  /** The next piece, or the end (repeatedly). `silent`: nothing arrived within `silenceMs`. Undefined: the reader was closed. */
  async next(silenceMs: number): Promise<Heard<Piece, End> | 'silent' | undefined> {
    if (!this.#isReady) await this.#something(silenceMs)
    if (this.#closed) return undefined
    const piece = this.#waiting.shift()
    if (piece !== undefined) {
      this.#bytes -= piece.bytes.length
      if (this.#bytes < MAX_WAITING_BYTES) this.#makeRoom?.()
      return { type: 'piece', piece }
    }
    return this.#end === undefined ? 'silent' : { type: 'end', end: this.#end.end }
  }

  /** Unsubscribes, and releases a blocked writer. */
  close(): void {
    this.#closed = true
    this.#waiting.length = 0
    this.#forget(this)
    this.#makeRoom?.()
    this.#wake?.()
  }

  /** Undefined if there is room for more; otherwise resolves when there is. */
  push(piece: Piece): Promise<void> | undefined {
    this.#waiting.push(piece)
    this.#bytes += piece.bytes.length
    this.#wake?.()
    if (this.#closed || this.#bytes < MAX_WAITING_BYTES) return undefined
    return new Promise((resolve) => {
      this.#makeRoom = resolve
    })
  }

  finish(end: End): void {
    this.#end = { end }
    this.#wake?.()
  }

  get #isReady(): boolean {
    return this.#waiting.length > 0 || this.#end !== undefined || this.#closed
  }

  #something(silenceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, silenceMs)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** From one source to any number of readers, with backpressure: the slowest reader sets the pace. Without readers, pieces are discarded at once. */
export class Broadcast<Piece extends { bytes: Uint8Array }, End> {
  readonly #readers = new Set<Reader<Piece, End>>()
  #end: { end: End } | undefined

  /** Subscribes from now on. After the end, the reader receives only the end. */
  listen(): Reader<Piece, End> {
    const reader = new Reader<Piece, End>((gone) => this.#readers.delete(gone))
    if (this.#end === undefined) this.#readers.add(reader)
    else reader.finish(this.#end.end)
    return reader
  }

  /** Resolves when every reader has room for more. */
  async push(piece: Piece): Promise<void> {
    const full: Promise<void>[] = []
    for (const reader of this.#readers) {
      const room = reader.push(piece)
      if (room !== undefined) full.push(room)
    }
    if (full.length > 0) await Promise.all(full)
  }

  finish(end: End): void {
    this.#end = { end }
    for (const reader of this.#readers) reader.finish(end)
    this.#readers.clear()
  }
}
