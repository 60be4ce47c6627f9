import type { Endpoint } from '../endpoint.ts'
import { covers, invalid, type Rule, readRule } from '../rule.ts'
import type { Detector } from './detectors/family.ts'
import * as shelf from './detectors/shelf.ts'
import { DlpFile } from './file.ts'
import { PatternError } from './pattern/syntax.ts'
import { prove } from './proof.ts'
import { type Rules, rulesOf } from './rules.ts'
import type { Fingerprint } from './watch.ts'

/** Minimum match length of an operator's pattern: shorter ones match everywhere. */
const LEAST_BYTES = 4
const DEFAULT = 'default'
const ALL = 'all'

export type DlpVerdict = 'block' | 'redact' | 'alert'

interface Setting {
  readonly verdict: DlpVerdict
  readonly except: readonly Rule[]
}

/** What must not leave, and what to do about it. */
export interface DlpPolicy {
  /** The JSON that it was compiled from, for a thread that has to compile it again. */
  readonly source: string
  readonly rules: Rules
  /** Only rules for values that may be sent in pieces; for joined pieces. */
  readonly joining: Rules
  readonly salt: string
  readonly fingerprints: readonly Fingerprint[]
  readonly canaries: DlpFile['canaries']
  readonly dnsBytes: number
  readonly tunnel: readonly Rule[]
  /** Null: it may be sent there. `detector`: as named in a finding. */
  verdictOf(detector: string, to: Endpoint): DlpVerdict | null
  /** Null: unlimited. */
  budgetOf(to: Endpoint): { readonly rule: string; readonly bytes: number } | null
}

/** Cache size: sandboxes of one profile share a policy, and its automaton is large. */
const MAX_KEPT = 16
const kept = new Map<string, DlpPolicy>()

/** `place`: its location in the profile, for messages. Throws POLICY_INVALID, naming the problem there. */
export function compileDlp(file: DlpFile, place: string): DlpPolicy {
  const key = JSON.stringify(file)
  const policy = kept.get(key) ?? compiled(file, place)
  kept.delete(key)
  kept.set(key, policy)
  const [oldest] = kept.keys()
  if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest)
  return policy
}

/** Recompiles from the `source` of a policy, in another thread. Its examples have already been verified. */
export function compiledAgain(source: string): DlpPolicy {
  const file = DlpFile.parse(JSON.parse(source))
  return made(file, file.patterns.map(detectorOf), 'dlp')
}

function compiled(file: DlpFile, place: string): DlpPolicy {
  proveDetectors()
  return made(
    file,
    file.patterns.map((entry, index) => ownDetector(entry, `${place}.patterns.${index}`)),
    place,
  )
}

function made(file: DlpFile, own: readonly Detector[], place: string): DlpPolicy {
  const settings = settingsOf(file, own, place)
  const known = [...builtIn(), ...own].filter(({ name }) => settings.has(name))
  const holds = (name: string): boolean => settings.get(name)?.verdict !== 'alert'
  const budgets = Object.entries(file.budgets).filter(([text]) => text !== DEFAULT)
  const limits = budgets.map(([text, bytes]) => ({ ...ruleAt(text, `${place}.budgets.${text}`), bytes }))
  const fallback = file.budgets[DEFAULT]
  return Object.freeze({
    source: JSON.stringify(file),
    rules: rulesOf(known, holds),
    joining: rulesOf(known.filter(({ joins }) => joins)),
    salt: file.fingerprints?.salt ?? '',
    fingerprints: file.fingerprints?.values ?? [],
    canaries: distinctCanaries(file, place),
    dnsBytes: file.dnsBytes,
    tunnel: file.tunnel.map((text, index) => ruleAt(text, `${place}.tunnel.${index}`)),
    verdictOf(detector: string, to: Endpoint) {
      if (detector === 'unscannable') return file.unscannable
      if (detector.startsWith('canary:')) return 'block'
      if (detector.startsWith('fingerprint:')) return file.fingerprints?.verdict ?? 'block'
      const setting = settings.get(detector)
      return setting === undefined || setting.except.some((rule) => covers(rule, to)) ? null : setting.verdict
    },
    budgetOf(to: Endpoint) {
      const limit = limits.find((rule) => covers(rule, to))
      if (limit !== undefined) return { rule: limit.text, bytes: limit.bytes }
      return fallback === undefined ? null : { rule: DEFAULT, bytes: fallback }
    },
  })
}

function builtIn(): Detector[] {
  return Object.values(shelf).flatMap(({ detectors }) => detectors)
}

/** Each detector's settings: its own, otherwise its family's, otherwise those of `all`. */
function settingsOf({ detectors, patterns }: DlpFile, own: readonly Detector[], place: string): Map<string, Setting> {
  const families = Object.entries(shelf).map(([name, { detectors: members }]) => ({
    name: dashed(name),
    members: members.map((one) => one.name),
  }))
  const names = new Set([ALL, ...families.flatMap(({ name, members }) => [name, ...members])])
  const settings = new Map<string, Setting>()
  for (const name of Object.keys(detectors)) {
    if (names.has(name)) continue
    throw invalid(`${place}.detectors.${name}`, `there is no detector ${JSON.stringify(name)}; there are: ${[...names].join(', ')}`)
  }
  for (const { name: family, members } of families) {
    for (const name of members) {
      const nearest = [name, family, ALL].find((one) => Object.hasOwn(detectors, one))
      if (nearest === undefined) continue
      const said = detectors[nearest]
      if (said === undefined || said === 'off') continue
      settings.set(name, typeof said === 'string' ? { verdict: said, except: [] } : withRules(said, `${place}.detectors.${nearest}.except`))
    }
  }
  for (const [index, { name }] of own.entries()) {
    const first = own.findIndex((other) => other.name === name)
    if (names.has(name) || first < index)
      throw invalid(`${place}.patterns.${index}.name`, `${JSON.stringify(name)} is the name of another detector`)
    settings.set(name, { verdict: patterns[index]?.verdict ?? 'block', except: [] })
  }
  return settings
}

function withRules({ verdict, except }: { verdict: DlpVerdict; except: readonly string[] }, place: string): Setting {
  return { verdict, except: except.map((text, index) => ruleAt(text, `${place}.${index}`)) }
}

function detectorOf({ name, pattern, edges, match, not }: DlpFile['patterns'][number]): Detector {
  return {
    name,
    finds: 'what the operator looks for',
    patterns: [pattern],
    edges,
    joins: true,
    check: () => true,
    triesAll: false,
    atLeast: null,
    examples: { match, not },
  }
}

function ownDetector(entry: DlpFile['patterns'][number], place: string): Detector {
  const detector = detectorOf(entry)
  const { pattern } = entry
  try {
    const { shortest } = rulesOf([detector]).automaton.matchers[0]?.positions ?? { shortest: 0 }
    if (shortest < LEAST_BYTES) throw new PatternError(`it matches ${shortest} bytes; fewer than ${LEAST_BYTES} are everywhere`)
  } catch (cause) {
    if (cause instanceof PatternError) throw invalid(`${place}.pattern`, `${JSON.stringify(pattern)} is refused: ${cause.message}`)
    throw cause
  }
  const failed = prove(detector)
  if (failed !== null)
    throw invalid(`${place}.${failed.list}.${failed.index}`, `the pattern ${JSON.stringify(pattern)} ${failed.why} its example`)
  return detector
}

/** No policy is loaded unless all detectors match their examples. Checked once, because they never change. */
let isProven = false
function proveDetectors(): void {
  if (isProven) return
  for (const detector of builtIn()) {
    const failed = prove(detector)
    if (failed !== null)
      throw invalid(`policy/dlp/detectors: ${detector.name}`, `it ${failed.why} its example ${failed.list}.${failed.index}`)
  }
  isProven = true
}

function distinctCanaries({ canaries }: DlpFile, place: string): DlpFile['canaries'] {
  for (const [index, canary] of canaries.entries()) {
    const first = canaries.findIndex((other) => other.name === canary.name || placeOf(other) === placeOf(canary))
    if (first < index) throw invalid(`${place}.canaries.${index}`, `its name or its place is that of ${place}.canaries.${first} already`)
  }
  return canaries
}

function placeOf(canary: DlpFile['canaries'][number]): string {
  return 'env' in canary ? canary.env : canary.file
}

function ruleAt(text: string, place: string): Rule {
  return readRule({ rule: text, match: [], not: [] }, place)
}

function dashed(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
