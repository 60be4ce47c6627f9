import { Fault } from '@caisson/wire'

const MODES = ['off', 'report', 'block'] as const

/** What happens to code in which the scan finds something. */
export function scanMode(text: string): (typeof MODES)[number] {
  const mode = MODES.find((one) => one === text)
  if (mode !== undefined) return mode
  throw new Fault('BAD_REQUEST', `--scan ${JSON.stringify(text)} is not a mode`, { hint: `One of: ${MODES.join(', ')}.` })
}
