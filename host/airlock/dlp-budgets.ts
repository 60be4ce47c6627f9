import { type DlpPolicy, readEndpoint } from '@caisson/policy'
import type { Target } from './egress.ts'
import type { Ground } from './inspect/passage.ts'

/** A tunnel is lent this share of what is left, or a minimum if that is more, so that many long tunnels leave something for others. */
const SHARE = 8
const LEAST_BYTES = 4096

/** How much one sandbox may still send to each destination. */
export class Budgets {
  readonly #budgetOf: DlpPolicy['budgetOf']
  /** By rule; kept when the policy is replaced. */
  readonly spent: Map<string, number>

  constructor(budgetOf: DlpPolicy['budgetOf'], spent: Map<string, number>) {
    this.#budgetOf = budgetOf
    this.spent = spent
  }

  /** Null: within the budget, and counted. */
  spend(target: Target, bytes: number): Ground | null {
    const budget = this.#of(target)
    if (budget === null) return null
    const spent = this.#spentOf(budget.key) + bytes
    if (spent > budget.bytes) return over(budget, target)
    this.spent.set(budget.key, spent)
    return null
  }

  /** Whether there is a limit for this destination. */
  has(target: Target): boolean {
    return this.#of(target) !== null
  }

  /** Null: the budget is not exhausted. */
  exhausted(target: Target): Ground | null {
    const budget = this.#of(target)
    return budget === null || this.#spentOf(budget.key) < budget.bytes ? null : over(budget, target)
  }

  /** Bytes that a tunnel may send. They are counted in advance, because nobody here sees the tunnel's data. 0: none are left. Null: unlimited. */
  lend(target: Target): number | null {
    const budget = this.#of(target)
    if (budget === null) return null
    const spent = this.#spentOf(budget.key)
    const left = Math.max(0, budget.bytes - spent)
    const lent = Math.min(left, Math.max(LEAST_BYTES, Math.ceil(left / SHARE)))
    this.spent.set(budget.key, spent + lent)
    return lent
  }

  /** Returns what was lent but not sent. */
  giveBack(target: Target, bytes: number): void {
    const budget = this.#of(target)
    if (budget !== null) this.spent.set(budget.key, Math.max(0, this.#spentOf(budget.key) - bytes))
  }

  #spentOf(key: string): number {
    return this.spent.get(key) ?? 0
  }

  #of({ name, address, port }: Target): { rule: string; bytes: number; key: string } | null {
    const literal = name === null && address !== null ? (readEndpoint(address)?.address ?? null) : null
    const budget = this.#budgetOf({ name, address: literal, port })
    if (budget === null) return null
    return { ...budget, key: budget.rule === 'default' ? `default ${name ?? address}:${port}` : budget.rule }
  }
}

function over({ rule, bytes }: { rule: string; bytes: number }, { name, address, port }: Target): Ground {
  return { rule: 'dlp:budget', reason: `more than ${bytes} bytes would have been sent to ${name ?? address}:${port} (budget ${rule})` }
}
