import type { NetworkRecord, SandboxHappening } from '@caisson/wire'

export type Denial = Extract<SandboxHappening, { kind: 'denied' }>

/** Immediate notification of denied accesses. They have been recorded before. */
export class Denials {
  readonly #listeners = new Map<string, Set<(denial: Denial) => void>>()

  /** Returns a function that stops listening. */
  listen(sandbox: string, listener: (denial: Denial) => void): () => void {
    const all = this.#listeners.get(sandbox) ?? new Set()
    this.#listeners.set(sandbox, all)
    all.add(listener)
    return () => {
      all.delete(listener)
      if (all.size === 0 && this.#listeners.get(sandbox) === all) this.#listeners.delete(sandbox)
    }
  }

  tell(record: NetworkRecord): void {
    if (record.kind !== 'network' && record.kind !== 'network-request') return
    const { verdict, name, address, port, rule, reason, wouldAllow } = record
    const listeners = this.#listeners.get(record.sandbox)
    if (listeners === undefined || (verdict !== 'deny' && verdict !== 'refuse')) return
    const denial: Denial = { kind: 'denied', atMs: Date.now(), host: name ?? address ?? '', port, rule, reason, wouldAllow, missed: 0 }
    for (const listener of listeners) listener(denial)
  }
}
