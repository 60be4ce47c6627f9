import type { Known } from './known-values.ts'

/** Arithmetic that Python and JavaScript share. Null: not applicable. */
export function calculated(operator: string, left: Known, right: Known): number | null {
  if (typeof left !== 'number' || typeof right !== 'number') return null
  const result = OPERATIONS.get(operator)?.(left, right) ?? Number.NaN
  return Number.isFinite(result) ? result : null
}

const OPERATIONS = new Map<string, (left: number, right: number) => number>(
  Object.entries({
    '+': (left: number, right: number) => left + right,
    '-': (left: number, right: number) => left - right,
    '*': (left: number, right: number) => left * right,
    '/': (left: number, right: number) => left / right,
    '//': (left: number, right: number) => Math.floor(left / right),
    '%': (left: number, right: number) => left % right,
    '**': (left: number, right: number) => left ** right,
    '^': (left: number, right: number) => left ^ right,
    '&': (left: number, right: number) => left & right,
    '|': (left: number, right: number) => left | right,
    '<<': (left: number, right: number) => left << right,
    '>>': (left: number, right: number) => left >> right,
    '>>>': (left: number, right: number) => left >>> right,
  }),
)

/** A slice of a list or text, as `[from:to:step]`. */
export function sliced(of: Known, from: number | null, to: number | null, step = 1): Known | null {
  if (typeof of !== 'string' && !Array.isArray(of)) return null
  if (step === 0 || ![from ?? 0, to ?? 0, step].every(Number.isInteger)) return null
  const parts: readonly Known[] = typeof of === 'string' ? [...of] : (of as readonly Known[])
  const count = parts.length
  const within = (at: number) => Math.min(Math.max(at < 0 ? at + count : at, step < 0 ? -1 : 0), step < 0 ? count - 1 : count)
  const first = from === null ? (step < 0 ? count - 1 : 0) : within(from)
  const end = to === null ? (step < 0 ? -1 : count) : within(to)
  const picked: Known[] = []
  for (let at = first; step > 0 ? at < end : at > end; at += step) picked.push(parts[at] ?? '')
  return typeof of === 'string' ? picked.join('') : picked
}

/** Parses a number literal: `12`, `0x1f`, `0b1`, `0o17`, `1_000`. */
export function numberIn(text: string): number | bigint | null {
  const plain = text.replaceAll('_', '').replace(/n$/, '')
  if (/^(\d+|0x[\da-f]+|0b[01]+|0o[0-7]+)$/i.test(plain)) {
    const value = plain.length > 1200 ? null : BigInt(plain)
    return value === null || value > Number.MAX_SAFE_INTEGER ? value : Number(value)
  }
  return /^\d*\.?\d+(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : null
}
