import { type Decision, decide, type Egress, hostAddresses, type Target } from './egress.ts'

/** Of one policy; the oldest is forgotten first. Names and addresses are short, so these are some ten kilobytes. */
const MAX_DECIDED = 64

interface Decided {
  /** Of this machine, while they were decided. */
  readonly hostAddresses: readonly string[]
  readonly decisions: Map<string, Decision>
}

/** A policy is never changed, only replaced, and what was decided by it goes with it. */
const DECIDED = new WeakMap<Egress, Decided>()

/**
 * What `decide` says of a connection, without deciding twice: programs connect to the same few places again and again, and each of them waits for this.
 * A decision depends on the policy, on what is asked for and found, and on the addresses of this machine, and on nothing else.
 */
export function decideAgain(egress: Egress, { name, address, port }: Target, found: readonly string[]): Decision {
  const { decisions } = decidedBy(egress)
  const key = JSON.stringify([name, address, port, found])
  const known = decisions.get(key)
  if (known !== undefined) return known
  const decision = decide(egress, { name, address, port }, found)
  decisions.set(key, decision)
  const [oldest] = decisions.keys()
  if (decisions.size > MAX_DECIDED && oldest !== undefined) decisions.delete(oldest)
  return decision
}

function decidedBy(egress: Egress): Decided {
  const known = DECIDED.get(egress)
  const here = hostAddresses()
  if (known?.hostAddresses === here) return known
  const fresh = { hostAddresses: here, decisions: new Map<string, Decision>() }
  DECIDED.set(egress, fresh)
  return fresh
}
