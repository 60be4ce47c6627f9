import { Columns } from '@caisson/policy'
import type { Ground, Outflow } from './dlp-outflow.ts'
import { Looking } from './dlp-verdicts.ts'

const WINDOW_MS = 10 * 60_000
const MAX_PARENTS = 256
const MAX_NAMES = 4096
/** `co.uk`: a name below it is somebody's own from the third label on. */
const SHORT_LABEL = 3

interface Parent {
  readonly names: Set<string>
  readonly columns: Columns
  bytes: number
  sinceMs: number
}

/** A question for a name carries the name to whoever serves it. What the names below one domain say, one by one and together, and how much it is. */
export class DlpNames {
  readonly #outflow: Outflow
  readonly #parents = new Map<string, Parent>()

  constructor(outflow: Outflow) {
    this.#outflow = outflow
  }

  /** Null: it may be asked for. `name` is normal. */
  weigh(name: string): Ground | null {
    const labels = name.split('.')
    const own = labels.slice(0, -parentLabels(labels))
    const parent = this.#parent(labels.slice(own.length).join('.'))
    if (own.length === 0 || parent.names.has(name)) return null
    const ground = this.#read(name, own) ?? this.#joined(name, own, parent)
    if (ground !== null) return ground
    const bytes = parent.bytes + own.join('').length
    if (bytes > this.#outflow.policy.dnsBytes || parent.names.size >= MAX_NAMES) {
      const reason = `names below one domain would have carried out more than ${this.#outflow.policy.dnsBytes} bytes`
      return { rule: 'dlp:dns-budget', reason }
    }
    parent.bytes = bytes
    parent.names.add(name)
    return null
  }

  #read(name: string, own: readonly string[]): Ground | null {
    const looking = this.#looking(name)
    // With their dots, and as one text: encoders fill label after label.
    return looking.write(Buffer.from(`${own.join('.')}\n${own.join('')}\n`)) ?? looking.settle()
  }

  #joined(name: string, own: readonly string[], { columns }: Parent): Ground | null {
    for (const joined of columns.add(own.join(' '))) {
      const looking = this.#looking(name)
      const ground = looking.write(Buffer.from(joined)) ?? looking.settle()
      if (ground === null) continue
      columns.undo()
      return ground
    }
    return null
  }

  #looking(name: string): Looking {
    return new Looking(this.#outflow, this.#outflow.lane({ name, address: null, port: 53 }), 'name', this.#outflow.policy.joining)
  }

  #parent(name: string): Parent {
    const now = Date.now()
    const known = this.#parents.get(name)
    const isFresh = known !== undefined && now - known.sinceMs < WINDOW_MS
    const parent = isFresh ? known : { names: new Set<string>(), columns: new Columns(), bytes: 0, sinceMs: now }
    this.#parents.delete(name)
    this.#parents.set(name, parent)
    const [oldest] = this.#parents.keys()
    if (this.#parents.size > MAX_PARENTS && oldest !== undefined) this.#parents.delete(oldest)
    return parent
  }
}

function parentLabels(labels: readonly string[]): number {
  return labels.length > 2 && (labels.at(-2) ?? '').length <= SHORT_LABEL && (labels.at(-1) ?? '').length <= SHORT_LABEL ? 3 : 2
}
