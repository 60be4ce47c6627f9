import { Fault, type Network, type Plan } from '@caisson/wire'
import type { Exits } from '../airlock/exits.ts'
import { doesTrust } from './trust.ts'

/** Other rules for a sandbox that stands; they hold when the result has been called. Rejects with CONFLICT, or POLICY_INVALID naming the rule. */
export async function rerouted(exits: Exits, plan: Plan, network: Network, signal: AbortSignal): Promise<() => Promise<void>> {
  const egress = await exits.egress(network, signal)
  if (plan.network.mode === 'none' || egress === null) {
    throw new Fault('CONFLICT', `sandbox ${plan.id} was made without a network, or is to have none`, {
      hint: 'Rules can be changed while there are some. Create another sandbox.',
    })
  }
  if (!doesTrust(plan) && (await exits.trust(egress)) !== null) {
    throw new Fault('CONFLICT', `sandbox ${plan.id} was made without rules that look into requests, and trusts nobody who does`, {
      hint: 'Say such rules (paths, methods, headers, credentials) when it is created.',
    })
  }
  return () => exits.change(plan.id, egress, plan.audit.maxBytes, signal)
}
