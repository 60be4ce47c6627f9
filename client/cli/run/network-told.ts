import { askedBy, learned } from '../daemon/connections.ts'
import type { RunWishes } from './wishes.ts'

/** What is reported about the network after a run. */
export interface NetworkTold {
  /** How many attempts were denied. */
  denied: number
  /** With `--net learn`: the smallest policy that allows what it reached. */
  learned?: ReturnType<typeof learned>
}

/** Undefined: the run had no network, or there is nothing to report. */
export async function networkTold({ request, learn }: RunWishes, id: string, signal: AbortSignal): Promise<NetworkTold | undefined> {
  if (request.network === 'none' || (request.network === undefined && request.profile === undefined)) return undefined
  const asked = (await askedBy(id, signal))?.asked ?? []
  const denied = asked.filter(({ isAllowed }) => !isAllowed).length
  if (learn) return { denied, learned: learned(asked) }
  return denied === 0 ? undefined : { denied }
}

/** On standard error, so that it does not mix with the program's output. */
export function tellNetwork(id: string, { denied, learned: rules }: NetworkTold): void {
  if (denied > 0)
    process.stderr.write(
      `caisson: the network was refused ${denied === 1 ? 'once' : `${denied} times`}; \`caisson why ${id}\` says what, and which rule would allow it\n`,
    )
  if (rules === undefined) return
  process.stderr.write(`caisson: what it reached, as rules for --net or a profile (\`caisson why --learn ${id}\` prints them again):\n`)
  process.stderr.write(`${JSON.stringify(rules, null, 2)}\n`)
}
