/** A message is taken apart into so many pieces at most, and what its pieces make together is remembered for so long. */
const MAX_PIECES = 48
const MAX_JOINED = 1024
/** What is shorter is not joined yet. */
const LEAST_JOINED = 16
const PIECE = /[A-Za-z0-9+/=_.~%-]+/g

/**
 * Messages that differ in some places only, one after the other: what stands in each of those places, put together. A value that is sent in
 * pieces, each in a request of its own with the same words around it, is whole there.
 */
export class Columns {
  #last: readonly string[] = []
  #joined: string[] = []
  #before: { last: readonly string[]; joined: string[] } = { last: [], joined: [] }

  /** The places that this message adds to, as they are now. */
  add(message: string): string[] {
    this.#before = { last: this.#last, joined: [...this.#joined] }
    const pieces = (message.match(PIECE) ?? []).slice(0, MAX_PIECES)
    if (pieces.length !== this.#last.length) {
      this.#last = pieces
      this.#joined = pieces.map((piece) => piece.slice(-MAX_JOINED))
      return []
    }
    const longer: string[] = []
    for (const [index, piece] of pieces.entries()) {
      if (piece === this.#last[index]) continue
      const { body, head } = apart(piece, this.#last[index] as string)
      const before = this.#joined[index] as string
      const joined = `${before}${before.startsWith(head) ? body : piece}`.slice(-MAX_JOINED)
      this.#joined[index] = joined
      if (joined.length >= LEAST_JOINED) longer.push(joined)
    }
    this.#last = pieces
    return longer
  }

  /** The last message has not been sent. */
  undo(): void {
    this.#last = this.#before.last
    this.#joined = this.#before.joined
  }
}

/** What two pieces begin with alike, up to the last sign that is no letter (`/c/`, `part-`), is the frame and no part of the value. */
function apart(piece: string, other: string): { head: string; body: string } {
  let same = 0
  while (same < piece.length && piece[same] === other[same]) same += 1
  const head = /^.*[/=.~%-]/.exec(piece.slice(0, same))?.[0] ?? ''
  return { head, body: piece.slice(head.length) }
}
