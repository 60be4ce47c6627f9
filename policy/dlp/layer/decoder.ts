/** Detects hidden data within one layer and decodes it. It receives the layer's bytes in order, in pieces of any size. */
export interface Decoder {
  feed(bytes: Uint8Array): void
  /** Judge what is there now, without waiting for more data. */
  settle(): void
  /** A new request begins. */
  broken(): void
  /** What follows is unrelated to what came before, which is not judged: call `settle` first if it should be. */
  restart(): void
  /** How many of the last bytes received may hide the start of a match. */
  readonly heldBytes: number
  /** Compressed data is being unpacked, and its bytes themselves say nothing. */
  readonly isUnpacking: boolean
}

/** The decoded data, as a new layer. */
export interface Inner {
  write(bytes: Uint8Array): void
  settle(): void
  broken(): void
  restart(): void
  readonly heldBytes: number
  /** Compressed data is being unpacked, and its bytes themselves say nothing. */
  readonly isUnpacking: boolean
}

/** `through`: the encoding (`base64`). Null: nested too deeply, or too much data; that has been reported. */
export type OpenInner = (through: string) => Inner | null
