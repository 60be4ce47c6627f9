/** Something that stands in the bytes of one layer and hides another one. It is fed them in order, in whatever pieces. */
export interface Decoder {
  feed(bytes: Uint8Array): void
  /** Nobody waits longer for what may follow. */
  settle(): void
  /** Another request begins. */
  broken(): void
  /** What follows has nothing to do with what was, and what was is not judged: whoever wants that settles before. */
  restart(): void
  /** Of the bytes that it was fed, the last ones, which may hide the start of a match. */
  readonly heldBytes: number
  /** Something that is hidden is being unpacked, of which the bytes say nothing. */
  readonly isUnpacking: boolean
}

/** What is hidden, once it is plain. */
export interface Inner {
  write(bytes: Uint8Array): void
  settle(): void
  broken(): void
  restart(): void
  readonly heldBytes: number
  /** Something is being unpacked, of which the bytes say nothing. */
  readonly isUnpacking: boolean
}

/** `through`: how it was hidden (`base64`). Null: it is hidden too deep, or there is too much of it; that has been told. */
export type OpenInner = (through: string) => Inner | null
