import { Scanner } from '@caisson/policy'
import type { Outflow } from './dlp-outflow.ts'

const WITHHELD = '/[withheld]'
/** Of a path, in reasons (policy/decide.ts). */
const MAX_PATH_TOLD = 200
/** It is searched for a line of the log, on the thread that everything happens on. */
const MAX_STEPS = 256 * 1024

/** How to say something of a request without saying its path, where that has something in it which must not be written down. */
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
  // What nobody has looked at to its end may say anything.
  return isFound || scanner.isSpent
}
