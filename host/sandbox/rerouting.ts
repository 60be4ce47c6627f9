import { Fault, type Network, type Plan } from '@caisson/wire'
import type { Exits, Trust } from '../airlock/exits.ts'
import { doesTrust } from './trust.ts'

export interface Rerouting {
  /** Certificates that must be added to the sandbox first; null: none. */
  readonly bring: Trust | null
  /** Puts the new rules into force. */
  readonly hold: () => Promise<void>
}

/** Prepares new rules for a running sandbox. `trusts`: it got the certificates already. Rejects with CONFLICT, or POLICY_INVALID naming the rule. */
export async function rerouted(exits: Exits, plan: Plan, network: Network, trusts: boolean, signal: AbortSignal): Promise<Rerouting> {
  const egress = await exits.egress(network, signal)
  if (plan.network.mode === 'none' || egress === null) {
    throw new Fault('CONFLICT', `sandbox ${plan.id} was made without a network, or is to have none`, {
      hint: 'Rules can be changed while there are some. Create another sandbox.',
    })
  }
  const bring = doesTrust(plan) || trusts ? null : await exits.trust(egress)
  if (bring !== null && plan.root.kind === 'read-only') {
    throw new Fault('CONFLICT', `sandbox ${plan.id} was made without rules that look into requests, and its root cannot be written to`, {
      hint: 'Say such rules (paths, methods, headers, credentials) when it is created.',
    })
  }
  return { bring, hold: () => exits.change(plan.id, egress, plan.audit.maxBytes, signal) }
}
