import type { ScanRule } from '../rule.ts'

type Examples = ScanRule['examples']['match']

/** host/scan checks the examples, since it has the parsers: each `match` must be found, and no `not`. */
export const python = (...code: string[]): Examples => code.map((one) => ({ language: 'python', code: one }))
export const javascript = (...code: string[]): Examples => code.map((one) => ({ language: 'javascript', code: one }))
export const shell = (...code: string[]): Examples => code.map((one) => ({ language: 'shell', code: one }))
