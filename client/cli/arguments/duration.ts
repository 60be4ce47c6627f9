import { Fault } from '@caisson/wire'

const UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const
/** The longest delay of a timer: about 24 days. */
const LONGEST_MS = 2 ** 31 - 1

/** Parses `30s`, `500ms`, `2m`, `1.5h` into milliseconds; `none` is null: unlimited. */
export function duration(text: string): number | null {
  if (text === 'none') return null
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text)
  const ms = match === null ? Number.NaN : Math.round(Number(match[1]) * UNITS_MS[match[2] as keyof typeof UNITS_MS])
  if (!(ms >= 1 && ms <= LONGEST_MS)) {
    throw new Fault('BAD_SIZE', `${JSON.stringify(text)} is not a duration`, {
      hint: 'Give a number and a unit: 500ms, 30s, 2m, 1h; or none.',
    })
  }
  return ms
}

/** The same, but it must be finite. */
export function lifetime(text: string): number {
  const ms = duration(text)
  if (ms !== null) return ms
  throw new Fault('BAD_SIZE', 'a sandbox of a daemon has an end', { hint: 'Give a number and a unit: 30s, 2m, 1h.' })
}
