/** The current clients of a sandbox, and how to disconnect them. */
export class Visitors {
  readonly #leaves = new Set<() => void>()

  /** Calls `leave` when the client must disconnect. The returned function unsubscribes. */
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
