import { type Decision, decide, type Egress, hostAddresses, type Target } from './egress.ts'

/** Per policy, oldest evicted first. Names and addresses are short, so this takes a few tens of kilobytes. */
const MAX_DECIDED = 64

interface Decided {
  /** This machine's addresses at the time of the decisions. */
  readonly hostAddresses: readonly string[]
  readonly decisions: Map<string, Decision>
}

/** A policy is never modified, only replaced, and its cached decisions go with it. */
const DECIDED = new WeakMap<Egress, Decided>()

/**
 * A cached `decide` for connections: programs connect to the same few places repeatedly, and each connection waits for this. A decision depends only on the
 * policy, the target, its resolved addresses and this machine's own addresses.
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
