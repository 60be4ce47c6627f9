import { Fault } from '@caisson/wire'
import { z } from 'zod'
import { type Endpoint, hostPortText, readEndpoint, readHostPort } from './endpoint.ts'
import type { Scope } from './rules/kind.ts'
import * as shelf from './rules/shelf.ts'

const Text = z.string().min(1).max(300)
const Examples = z.array(Text).max(100).default([])

/** `'*.example.com:443'`, or the same with examples of what it must cover and what it must not. */
export const RuleEntry = z.preprocess(
  (value) => (typeof value === 'string' ? { rule: value } : value),
  z.strictObject({ rule: Text, match: Examples, not: Examples }),
)
type RuleEntry = z.infer<typeof RuleEntry>

export interface Rule extends Scope {
  readonly kind: string
  /** Null: every port. */
  readonly port: number | null
}

/** Throws POLICY_INVALID, with `place` and what is wrong there. */
export function readRule({ rule: text, match, not }: RuleEntry, place: string): Rule {
  const rule = readText(text, place)
  const told = JSON.stringify(text)
  for (const [list, examples, wanted] of [['match', match, true] as const, ['not', not, false] as const]) {
    for (const [index, example] of examples.entries()) {
      const at = `${place}.${list}.${index}`
      const endpoint = readEndpoint(example)
      if (endpoint === null) throw invalid(at, `${JSON.stringify(example)} is neither a name nor an address, with or without a port`)
      if (covers(rule, endpoint) !== wanted) {
        throw invalid(at, `the rule ${told} ${wanted ? 'does not cover' : 'covers'} its example ${JSON.stringify(example)}`)
      }
    }
  }
  return rule
}

function readText(text: string, place: string): Rule {
  const told = JSON.stringify(text)
  const read = readHostPort(text)
  if (read === null) throw invalid(place, `${told} is not a name or an address with a port of 1 to 65535; ports of v6 are written [::]:443`)
  const kind = Object.values(shelf).find((one) => one.claims(read.host))
  if (kind === undefined) throw invalid(place, `${told} is no rule of a known kind: ${Object.keys(shelf).join(', ')}`)
  const scope = kind.read(read.host)
  if ('refused' in scope) throw invalid(place, `${told} is not a ${kind.name}: ${scope.refused}`)
  return { ...scope, kind: kind.name, port: read.port, text: hostPortText({ host: scope.text, port: read.port }) }
}

/** A rule without a port covers all; one with a port does not cover what has none yet. */
export function covers(rule: Rule, endpoint: Endpoint): boolean {
  return (rule.port === null || rule.port === endpoint.port) && rule.covers(endpoint)
}

/** Whether `rule` leaves nothing to do for `other`. */
export function coversAllOf(rule: Rule, other: Rule): boolean {
  return (rule.port === null || rule.port === other.port) && other.corners.every((corner) => rule.covers(corner))
}

/** Each kind keeps what its examples say, or no policy is loaded. */
export function proveKinds(): void {
  for (const [name, { examples }] of Object.entries(shelf)) {
    readRule({ rule: examples.rule, match: [...examples.match], not: [...examples.not] }, `policy/rules/${name}`)
  }
}

export function invalid(place: string, message: string): Fault {
  return new Fault('POLICY_INVALID', `${place}: ${message}`)
}
