/** Those who talk with a sandbox at the moment, and how to cut them off. */
export class Visitors {
  readonly #leaves = new Set<() => void>()

  /** Calls `leave` when they are to let go. The result stops that. */
  add(leave: () => void): () => void {
    this.#leaves.add(leave)
    return () => this.#leaves.delete(leave)
  }

  cutOff(): void {
    const leaves = [...this.#leaves]
    this.#leaves.clear()
    for (const leave of leaves) leave()
  }
}
