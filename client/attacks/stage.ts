import type { NamedAttack } from './attack.ts'

/** What has to be on the host so that an attack is one: canaries, listeners, a victim; and the attacks. */
export interface Stage extends AsyncDisposable {
  readonly attacks: readonly NamedAttack[]
  /** Sets it up; disposing takes it away. */
  open(): Promise<void>
}

export function unheard(connections: number): void {
  if (connections > 0) throw new Error(`a listener of the host was reached ${connections} times`)
}
