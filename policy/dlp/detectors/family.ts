import type { Place } from '../layer/layer.ts'
import { digitsOf } from './checks.ts'

/** Examples are assembled from parts, so that secret scanners do not report this file. */
interface Examples {
  readonly match: readonly string[]
  readonly not: readonly string[]
}

export interface Detector {
  readonly name: string
  /** A description for people. */
  readonly finds: string
  /** The syntax is in pattern/syntax.ts. */
  readonly patterns: readonly string[]
  /** Requires a word boundary on both sides; for values without a prefix of their own. */
  readonly edges: boolean
  /** A value may be split across two requests. */
  readonly joins: boolean
  /** An additional check beyond the pattern. */
  readonly check: (value: string, place: Place) => boolean
  /** Try other starts and ends until the check passes. */
  readonly triesAll: boolean
  /** Number of different matches that make a finding. */
  readonly atLeast: number | null
  readonly examples: Examples
}

type Parts = Pick<Detector, 'name' | 'finds' | 'patterns' | 'examples'> & Partial<Detector>

export interface Family {
  readonly detectors: readonly Detector[]
}

/** Detectors of values with a distinctive format, checked by pattern alone. */
export function family(...detectors: readonly Parts[]): Family {
  const usual = { edges: false, joins: true, check: () => true, triesAll: false, atLeast: null }
  return { detectors: detectors.map((one) => ({ ...usual, ...one })) }
}

/** Detectors of numbers: at word boundaries, within one request, and with a check digit. One digit again and again is a placeholder, or filler. */
export function numbers(...detectors: readonly (Parts & Pick<Detector, 'check'>)[]): Family {
  const usual = { edges: true, joins: false, triesAll: true, atLeast: null }
  const checked = (one: Pick<Detector, 'check'>): Detector['check'] => {
    return (value, place) => new Set(digitsOf(value)).size !== 1 && one.check(value, place)
  }
  return { detectors: detectors.map((one) => ({ ...usual, ...one, check: checked(one) })) }
}
