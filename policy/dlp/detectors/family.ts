import type { Place } from '../layer/layer.ts'

/** Examples are put together from parts, so that nobody's scanner takes this file for a leak. */
interface Examples {
  readonly match: readonly string[]
  readonly not: readonly string[]
}

export interface Detector {
  readonly name: string
  /** What it finds, for a person. */
  readonly finds: string
  /** See pattern/syntax.ts. */
  readonly patterns: readonly string[]
  /** No letter, digit or underscore beside it: for what has no prefix of its own. */
  readonly edges: boolean
  /** A value may be cut in two by the border between two requests. */
  readonly joins: boolean
  /** Whether that is one, beyond its form. */
  readonly check: (value: string, place: Place) => boolean
  /** Other starts and ends are tried too, until the check holds. */
  readonly triesAll: boolean
  /** So many different ones are a finding, and one is none. */
  readonly atLeast: number | null
  readonly examples: Examples
}

type Parts = Pick<Detector, 'name' | 'finds' | 'patterns' | 'examples'> & Partial<Detector>

export interface Family {
  readonly detectors: readonly Detector[]
}

/** Of values with a form of their own: as they stand. */
export function family(...detectors: readonly Parts[]): Family {
  const usual = { edges: false, joins: true, check: () => true, triesAll: false, atLeast: null }
  return { detectors: detectors.map((one) => ({ ...usual, ...one })) }
}

/** Of numbers: with nothing of a word beside them, within one request, and by their check digits. */
export function numbers(...detectors: readonly (Parts & Pick<Detector, 'check'>)[]): Family {
  const usual = { edges: true, joins: false, triesAll: true, atLeast: null }
  return { detectors: detectors.map((one) => ({ ...usual, ...one })) }
}
