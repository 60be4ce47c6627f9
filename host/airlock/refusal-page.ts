/** Why something was refused, for the program inside. */
export interface Refusal {
  readonly rule: string
  /** A sentence without its dot. */
  readonly reason: string
  readonly wouldAllow: string | null
}

/** What the program reads: JSON, in one line. */
export function refusalBody(sandbox: string, { rule, reason, wouldAllow }: Refusal): string {
  const message = `The network policy of this sandbox does not allow it: ${reason}.`
  return `${JSON.stringify({ code: 'NETWORK_DENIED', message, rule, wouldAllow, hint: `caisson why ${sandbox}` })}\n`
}
