import type { ScanRule } from './rule.ts'
import * as shelf from './rules/shelf.ts'

export const SCAN_RULES: readonly ScanRule[] = Object.values(shelf).flat()
