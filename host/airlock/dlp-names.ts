import { Columns } from '@caisson/policy'
import { glance } from './dlp-looking.ts'
import type { Outflow } from './dlp-outflow.ts'
import type { Ground } from './inspect/passage.ts'

const WINDOW_MS = 10 * 60_000
const MAX_PARENTS = 256
const MAX_NAMES = 4096
const DNS_PORT = 53
/** `co.uk`: below it, people register the third label. Countries do not register names this short; other short names are ordinary (`abc.xyz`). */
const COUNTRY_BYTES = 2
const NOBODYS = new Set(
  'ac art asn biz co com edu firm go gob gouv gov gr id ind inf info ltd me mil muni name ne net nic nom or org plc pro res sch tm web'.split(
    ' ',
  ),
)

interface Parent {
  readonly names: Set<string>
  /** Allowed or refused names that the log must not contain. */
  readonly withheld: Set<string>
  readonly refused: Map<string, Ground>
  readonly columns: Columns
  bytes: number
  sinceMs: number
}

/** A name query carries the name to its name server. Judges the names queried below one domain, singly and joined, and their total size. */
export class DlpNames {
  readonly #outflow: Outflow
  readonly #parents = new Map<string, Parent>()

  constructor(outflow: Outflow) {
    this.#outflow = outflow
  }

  /** Null: it may be queried. `name` must be normalised. */
  weigh(name: string): Ground | null {
    const { own, domain } = partsOf(name)
    const parent = this.#parent(domain)
    if (own.length === 0 || parent.names.has(name)) return null
    // A connection asks about its name several times, but a finding is recorded once.
    const ground = parent.refused.get(name) ?? this.#read(domain, own, parent) ?? this.#joined(domain, own, parent)
    if (ground !== null) {
      if (parent.refused.size < MAX_NAMES) parent.refused.set(name, ground)
      return ground
    }
    const bytes = parent.bytes + own.join('').length
    if (bytes > this.#outflow.policy.dnsBytes || parent.names.size >= MAX_NAMES) {
      const reason = `names below one domain would have carried out more than ${this.#outflow.policy.dnsBytes} bytes`
      return { rule: 'dlp:dns-budget', reason }
    }
    parent.bytes = bytes
    parent.names.add(name)
    return null
  }

  /** The name as the log may contain it: only its domain if the rest contains data that must not leave. */
  told(name: string): string {
    const { domain } = partsOf(name)
    return this.#parents.get(domain)?.withheld.has(name) === true ? domain : name
  }

  #read(domain: string, own: readonly string[], parent: Parent): Ground | null {
    // Both with dots and joined, since encoders fill label after label.
    return this.#look(domain, own, parent, `${own.join('.')}\n${own.join('')}\n`)
  }

  #joined(domain: string, own: readonly string[], parent: Parent): Ground | null {
    const { columns } = parent
    for (const joined of columns.add(own.join(' '))) {
      const ground = this.#look(domain, own, parent, joined)
      if (ground === null) continue
      columns.undo()
      return ground
    }
    return null
  }

  #look(domain: string, own: readonly string[], { withheld }: Parent, text: string): Ground | null {
    const lane = this.#outflow.lane({ name: domain, address: null, port: DNS_PORT })
    const { ground, hasFound } = glance(this.#outflow, lane, 'name', text)
    if (hasFound && withheld.size < MAX_NAMES) withheld.add(`${own.join('.')}.${domain}`)
    return ground
  }

  #parent(name: string): Parent {
    const now = Date.now()
    const known = this.#parents.get(name)
    const isFresh = known !== undefined && now - known.sinceMs < WINDOW_MS
    const parent = isFresh
      ? known
      : {
          names: new Set<string>(),
          withheld: new Set<string>(),
          refused: new Map<string, Ground>(),
          columns: new Columns(),
          bytes: 0,
          sinceMs: now,
        }
    this.#parents.delete(name)
    this.#parents.set(name, parent)
    const [oldest] = this.#parents.keys()
    if (this.#parents.size > MAX_PARENTS && oldest !== undefined) this.#parents.delete(oldest)
    return parent
  }
}

/** Splits off the labels before the registered domain. */
function partsOf(name: string): { own: string[]; domain: string } {
  const labels = name.split('.')
  const [second = '', country = ''] = labels.slice(-2)
  const isBelow = labels.length > 2 && country.length === COUNTRY_BYTES && NOBODYS.has(second)
  const own = labels.slice(0, isBelow ? -3 : -2)
  return { own, domain: labels.slice(own.length).join('.') }
}
