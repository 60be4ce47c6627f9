import { Fault } from '@caisson/wire'

const UNITS_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `2026-11-26T10:00:00Z`, or how long ago: `30m`, `2h`, `7d`. Milliseconds since 1970. */
export function moment(text: string): number {
  const ago = /^(\d{1,6})([smhd])$/.exec(text)
  if (ago !== null) return Date.now() - Number(ago[1]) * UNITS_MS[ago[2] as keyof typeof UNITS_MS]
  const at = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isFinite(at)) return at
  throw new Fault('BAD_REQUEST', `${JSON.stringify(text)} is no moment`, {
    hint: 'Give a date and time such as 2026-11-26T10:00:00Z, or how long ago: 30m, 2h, 7d.',
  })
}
