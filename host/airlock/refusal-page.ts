/** Why something was refused, for the program inside. */
export interface Refusal {
  readonly rule: string
  /** A sentence without its full stop. */
  readonly reason: string
  readonly wouldAllow: string | null
}

/** The response body: one line of JSON. */
export function refusalBody(sandbox: string, { rule, reason, wouldAllow }: Refusal): string {
  const message = `The network policy of this sandbox does not allow it: ${reason}.`
  return `${JSON.stringify({ code: 'NETWORK_DENIED', message, rule, wouldAllow, hint: `caisson why ${sandbox}` })}\n`
}
