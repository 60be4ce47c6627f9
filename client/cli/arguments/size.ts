import { Fault } from '@caisson/wire'

const UNITS_MIB = { '': 1, m: 1, g: 1024, t: 1024 * 1024 } as const
const LARGEST_MIB = 1024 * 1024 * 1024

/** Parses `512`, `512MiB`, `1GiB`, `1.5g` into MiB; never 0. */
export function size(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(?:([mgt])(?:ib)?)?$/i.exec(text)
  const unit = (match?.[2] ?? '').toLowerCase() as keyof typeof UNITS_MIB
  const mib = match === null ? Number.NaN : Number(match[1]) * UNITS_MIB[unit]
  if (!Number.isInteger(mib) || mib < 1 || mib > LARGEST_MIB) {
    throw new Fault('BAD_SIZE', `${JSON.stringify(text)} is not a size`, {
      hint: 'Give whole MiB (512), or a number and a unit: 512MiB, 1GiB.',
    })
  }
  return mib
}

/** The same, or `none`: unlimited. */
export function sizeOrNone(text: string): number | null {
  return text === 'none' ? null : size(text)
}
