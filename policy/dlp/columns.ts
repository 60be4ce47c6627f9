/** Limits on the pieces into which a message is split, and on the joined text that is remembered for each. */
const MAX_PIECES = 48
const MAX_JOINED = 1024
/** Shorter texts are not judged yet. */
const LEAST_JOINED = 16
const PIECE = /[A-Za-z0-9+/=_.~%-]+/g

/** Limit on message shapes (numbers of pieces) that are tracked at once. */
const MAX_SHAPES = 8

interface Shape {
  readonly last: readonly string[]
  readonly joined: readonly string[]
  /** The constant prefix of a piece; null: the whole piece has been constant so far. */
  readonly frames: readonly (string | null)[]
}

/**
 * Follows similar messages and concatenates what differs in each position. It reassembles a value that is sent in pieces, one per request, with the same words
 * around each.
 */
export class Columns {
  readonly #shapes = new Map<number, Shape>()
  #undo: () => void = () => undefined

  /** Adds a message. Returns the joined texts of the positions that changed. */
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
    // An identical message is a retry and adds nothing.
    if (pieces.every((piece, index) => piece === shape.last[index])) return []
    const frames = pieces.map((piece, index) => frameOf(piece, shape.last[index] as string, shape.frames[index] as string | null))
    const joined = pieces.map((piece, index) => {
      const frame = frames[index] as string | null
      return `${shape.joined[index]}${piece.slice(frame?.length ?? 0)}`.slice(-MAX_JOINED)
    })
    this.#keep({ last: pieces, joined, frames })
    return joined.filter((text, index) => frames[index] !== null && text.length >= LEAST_JOINED)
  }

  /** The last message was not sent. */
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

/** The common prefix of two pieces, up to its last non-letter (`/c/`, `part-`), is the frame and not part of the value. */
function frameOf(piece: string, other: string, frame: string | null): string | null {
  if (frame !== null) return piece.startsWith(frame) ? frame : ''
  if (piece === other) return null
  let same = 0
  while (same < piece.length && piece[same] === other[same]) same += 1
  return /^.*[/=.~%-]/.exec(piece.slice(0, same))?.[0] ?? ''
}
