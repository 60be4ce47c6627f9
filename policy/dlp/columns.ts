/** A message is taken apart into so many pieces at most, and what its pieces make together is remembered for so long. */
const MAX_PIECES = 48
const MAX_JOINED = 1024
/** What is shorter is not joined yet. */
const LEAST_JOINED = 16
const PIECE = /[A-Za-z0-9+/=_.~%-]+/g

/** Kinds of messages that are followed side by side: by how many pieces they have. */
const MAX_SHAPES = 8

interface Shape {
  readonly last: readonly string[]
  readonly joined: readonly string[]
  /** What a piece begins with that is the same each time; null: all of it has been the same so far. */
  readonly frames: readonly (string | null)[]
}

/**
 * Messages that differ in some places only, one after the other: what stands in each of those places, put together. A value that is sent in
 * pieces, each in a request of its own with the same words around it, is whole there.
 */
export class Columns {
  readonly #shapes = new Map<number, Shape>()
  #undo: () => void = () => undefined

  /** The places that this message adds to, as they are now. */
  add(message: string): string[] {
    const pieces = (message.match(PIECE) ?? []).slice(0, MAX_PIECES)
    const shape = this.#shapes.get(pieces.length)
    this.#undo = () => {
      if (shape === undefined) this.#shapes.delete(pieces.length)
      else this.#shapes.set(pieces.length, shape)
    }
    if (shape === undefined) {
      this.#keep({ last: pieces, joined: pieces.map((piece) => piece.slice(-MAX_JOINED)), frames: pieces.map(() => null) })
      return []
    }
    // Once more the same is a second try, and no more of anything.
    if (pieces.every((piece, index) => piece === shape.last[index])) return []
    const frames = pieces.map((piece, index) => frameOf(piece, shape.last[index] as string, shape.frames[index] as string | null))
    const joined = pieces.map((piece, index) => {
      const frame = frames[index] as string | null
      return `${shape.joined[index]}${piece.slice(frame?.length ?? 0)}`.slice(-MAX_JOINED)
    })
    this.#keep({ last: pieces, joined, frames })
    return joined.filter((text, index) => frames[index] !== null && text.length >= LEAST_JOINED)
  }

  /** The last message has not been sent. */
  undo(): void {
    this.#undo()
  }

  #keep(shape: Shape): void {
    const { length } = shape.last
    this.#shapes.delete(length)
    this.#shapes.set(length, shape)
    const [oldest] = this.#shapes.keys()
    if (this.#shapes.size > MAX_SHAPES && oldest !== undefined) this.#shapes.delete(oldest)
  }
}

/** Up to the last sign that is no letter (`/c/`, `part-`), what two pieces begin with alike is the frame, and no part of the value. */
function frameOf(piece: string, other: string, frame: string | null): string | null {
  if (frame !== null) return piece.startsWith(frame) ? frame : ''
  if (piece === other) return null
  let same = 0
  while (same < piece.length && piece[same] === other[same]) same += 1
  return /^.*[/=.~%-]/.exec(piece.slice(0, same))?.[0] ?? ''
}
