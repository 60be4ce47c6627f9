import { Scanner } from '@caisson/policy'
import type { Outflow } from './dlp-outflow.ts'

const WITHHELD = '/[withheld]'
/** Longest path in reasons (policy/decide.ts). */
const MAX_PATH_TOLD = 200
/** Work limit: it is searched on the main thread, for one log line. */
const MAX_STEPS = 256 * 1024

/** Removes a request's path from a text if the path contains data that must not be logged. */
export function withholding(outflow: Outflow | null, path: string): (text: string) => string {
  if (outflow === null || !hasFinding(outflow, path)) return (text) => text
  const [plain = ''] = path.split('?')
  return (text) => text.replaceAll(plain, WITHHELD).replaceAll(plain.slice(0, MAX_PATH_TOLD), WITHHELD)
}

function hasFinding({ policy, watch }: Outflow, path: string): boolean {
  let isFound = false
  const found = () => {
    isFound = true
  }
  const scanner = new Scanner(policy.rules, watch, found, MAX_STEPS)
  scanner.write(Buffer.from(path, 'latin1'))
  scanner.settle()
  // A path not searched to its end may contain anything.
  return isFound || scanner.isSpent
}
