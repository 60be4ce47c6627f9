import type { Detector } from './detectors/family.ts'
import type { Meaning, Place } from './layer/layer.ts'
import { ZLIB_HEADS } from './layer/zlib-heads.ts'
import { Automaton } from './pattern/automaton.ts'
import { readPositions } from './pattern/positions.ts'

const hex = (byte: number): string => `\\x${byte.toString(16).padStart(2, '0')}`

/** Formats that the layers unpack themselves, and formats that cannot be read here. */
const MARKS: readonly (readonly [name: string, meaning: Meaning, pattern: string])[] = [
  ['gzip', 'gzip', '\\x1f\\x8b\\x08'],
  ['zlib', 'zlib', ZLIB_HEADS.map((both) => both.map(hex).join('')).join('|')],
  ['zip', 'zip', 'PK\\x03\\x04'],
  ['7z', 'opaque', '\\x37\\x7a\\xbc\\xaf\\x27\\x1c'],
  ['xz', 'opaque', '\\xfd\\x37\\x7a\\x58\\x5a\\x00'],
  ['zstd', 'opaque', '\\x28\\xb5\\x2f\\xfd'],
  ['rar', 'opaque', 'Rar!\\x1a\\x07'],
  ['bzip2', 'opaque', 'BZh[1-9]\\x31\\x41\\x59\\x26\\x53\\x59'],
  ['lz4', 'opaque', '\\x04\\x22\\x4d\\x18'],
  ['age', 'opaque', 'age-encryption\\.org/v1'],
  ['pgp', 'opaque', '-----BEGIN PGP MESSAGE-----'],
  ['openssl', 'opaque', 'Salted__'],
]

export interface Rules {
  readonly automaton: Automaton
  /** By matcher. */
  readonly meanings: readonly Meaning[]
  readonly names: readonly string[]
  readonly triesAll: readonly boolean[]
  /** Null: the check rejects it. `atLeast`: the number of values that make a finding. */
  judge(matcher: number, value: string, place: Place): { readonly detector: string; readonly atLeast: number | null } | null
}

/** `holds`: whether possible findings of a detector are held back. Throws PatternError. */
export function rulesOf(detectors: readonly Detector[], holds: (detector: string) => boolean = () => true): Rules {
  const patterns = detectors.flatMap((detector) => detector.patterns.map((pattern) => ({ detector, pattern })))
  const matchers = patterns.map(({ detector: { name, edges, joins }, pattern }) => ({
    positions: readPositions(pattern),
    edges,
    joins,
    holds: holds(name),
  }))
  const marks = MARKS.map(([, , pattern]) => ({ positions: readPositions(pattern), edges: false, joins: false, holds: false }))
  return {
    automaton: new Automaton([...matchers, ...marks]),
    meanings: [...matchers.map((): Meaning => 'detector'), ...MARKS.map(([, meaning]) => meaning)],
    names: [...patterns.map(({ detector }) => detector.name), ...MARKS.map(([name]) => name)],
    triesAll: [...patterns.map(({ detector }) => detector.triesAll), ...MARKS.map(() => false)],
    judge(matcher, value, place) {
      const { detector } = patterns[matcher] as (typeof patterns)[number]
      return detector.check(value, place) ? { detector: detector.name, atLeast: detector.atLeast } : null
    },
  }
}
