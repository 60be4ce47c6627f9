import type { NamedAttack } from './attack.ts'

/** What attacks need on the host in order to prove something (canaries, listeners, a victim), and the attacks themselves. */
export interface Stage extends AsyncDisposable {
  readonly attacks: readonly NamedAttack[]
  /** Sets it up; disposing removes it. */
  open(): Promise<void>
}

export function unheard(connections: number): void {
  if (connections > 0) throw new Error(`a listener of the host was reached ${connections} times`)
}
