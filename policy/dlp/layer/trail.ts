import { type Fingerprint, folded, type Known, PIECE_BYTES, type Watch } from '../watch.ts'

/** Limit on incomplete matches of known values. More at once are a flood, meant to hide one. */
const MAX_BEGUN = 64

export interface TrailHouse {
  readonly watch: Watch
  /** The last `length` bytes before a position of the layer, or fewer if there are not so many. */
  lookBack(end: number, length: number): Uint8Array
  knownFound(known: Known, start: number, end: number): void
  flooded(): void
}

/** Searches one layer for known values. */
export class Trail {
  readonly #house: TrailHouse
  #begun: { readonly fingerprint: Fingerprint; readonly known: Known; readonly start: number; readonly end: number }[] = []
  /** The bytes of the current piece, as a ring buffer. */
  readonly #piece = new Uint8Array(PIECE_BYTES)
  #hash = 0
  #count = 0

  constructor(house: TrailHouse) {
    this.#house = house
  }

  /** `at`: their position in the layer, which already contains them, so that it can look back. */
  feed(bytes: Uint8Array, at: number): void {
    const { watch } = this.#house
    const { base, leaving } = watch
    const piece = this.#piece
    let hash = this.#hash
    let count = this.#count
    for (let index = 0; index < bytes.length; index += 1) {
      const byte = folded(bytes[index] as number) + 1
      const slot = count & (PIECE_BYTES - 1)
      hash = (Math.imul(hash, base) + byte - Math.imul(piece[slot] as number, leaving)) | 0
      piece[slot] = byte
      count += 1
      if (count >= PIECE_BYTES && watch.mayKnow(hash)) this.#meet(hash, at + index + 1)
    }
    this.#hash = hash
    this.#count = count >= 1 << 30 ? (count & (PIECE_BYTES - 1)) + PIECE_BYTES : count
    this.#judge(at + bytes.length)
  }

  /** Bytes that may be the start of a known value. */
  heldBytes(end: number): number {
    return this.#begun.reduce((most, { start }) => Math.max(most, end - start), 0)
  }

  restart(): void {
    this.#begun = []
    this.#piece.fill(0)
    this.#hash = 0
    this.#count = 0
  }

  #meet(hash: number, end: number): void {
    for (const known of this.#house.watch.at(hash)) {
      const { fingerprint, piece } = known
      const start = end - PIECE_BYTES
      if (fingerprint !== null) {
        if (this.#begun.length >= MAX_BEGUN) this.#judge(end)
        if (this.#begun.length >= MAX_BEGUN) this.#house.flooded()
        else this.#begun.push({ fingerprint, known, start, end: start + fingerprint.lengthBytes })
        continue
      }
      const seen = String.fromCharCode(...this.#house.lookBack(end, PIECE_BYTES)).toLowerCase()
      if (seen === piece) this.#house.knownFound(known, start, end)
    }
  }

  #judge(reached: number): void {
    if (this.#begun.length === 0) return
    const { watch } = this.#house
    const ready = this.#begun.filter(({ end }) => end <= reached)
    this.#begun = this.#begun.filter(({ end }) => end > reached)
    for (const { fingerprint, known, start, end } of ready) {
      const value = this.#house.lookBack(end, fingerprint.lengthBytes)
      if (value.length === fingerprint.lengthBytes && watch.digest(watch.salt, value) === fingerprint.digest) {
        this.#house.knownFound(known, start, end)
      }
    }
  }
}
