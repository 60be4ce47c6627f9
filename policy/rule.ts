import { Fault } from '@caisson/wire'
import { z } from 'zod'
import { type Endpoint, hostPortText, readEndpoint, readHostPort } from './endpoint.ts'
import { type PathGlob, readGlob } from './paths.ts'
import { permits, RequestFields, type RequestScope, readWritten, scopeText } from './request.ts'
import type { Scope } from './rules/kind.ts'
import * as shelf from './rules/shelf.ts'

const Text = z.string().min(1).max(300)
const Examples = z.array(Text).max(100).default([])

/** `'*.example.com:443'`; or an object with constraints on requests, and examples that the rule must and must not cover. */
export const RuleEntry = z.preprocess(
  (value) => (typeof value === 'string' ? { rule: value } : value),
  z.strictObject({ rule: Text, ...RequestFields, match: Examples, not: Examples }),
)
type RuleEntry = z.infer<typeof RuleEntry>

export interface Rule extends Scope {
  readonly kind: string
  /** Null: every port. */
  readonly port: number | null
  /** Null: no constraints, so the rule needs no inspection. */
  readonly requests: RequestScope | null
}

/** Throws POLICY_INVALID, with `place` and the problem. */
export function readRule({ match, not, ...entry }: RuleEntry, place: string): Rule {
  const written = readWritten(entry.rule)
  const requests = requestsOf(entry, written, place)
  const rule = readText(written === null ? entry.rule : portSaid(written), requests, place)
  const told = JSON.stringify(entry.rule)
  for (const [list, examples, wanted] of [['match', match, true] as const, ['not', not, false] as const]) {
    for (const [index, example] of examples.entries()) {
      const at = `${place}.${list}.${index}`
      if (coversExample(rule, example, at) === wanted) continue
      throw invalid(at, `the rule ${told} ${wanted ? 'does not cover' : 'covers'} its example ${JSON.stringify(example)}`)
    }
  }
  return rule
}

/** A URL without a port has its scheme's default port. */
function portSaid({ scheme, host }: { scheme: 'http' | 'https'; host: string }): string {
  return readHostPort(host)?.port === null ? `${host}:${scheme === 'http' ? 80 : 443}` : host
}

/** The example is an address or name, with or without a port, or `GET https://example.com/path`. */
function coversExample(rule: Rule, example: string, place: string): boolean {
  const written = readWritten(example)
  const endpoint = readEndpoint(written?.host ?? example)
  if (endpoint === null) {
    throw invalid(place, `${JSON.stringify(example)} is neither a name nor an address, with or without a port, nor a method and a URL`)
  }
  if (written === null) return covers(rule, endpoint)
  const { scheme, methods = ['GET'], path = '/' } = written
  const port = endpoint.port ?? (scheme === 'http' ? 80 : 443)
  return covers(rule, { ...endpoint, port }) && (rule.requests === null || permits(rule.requests, { scheme, methods, path }))
}

function requestsOf(entry: Omit<RuleEntry, 'match' | 'not'>, written: ReturnType<typeof readWritten>, place: string): RequestScope | null {
  for (const [field, said] of [
    ['scheme', written?.scheme],
    ['methods', written?.methods],
    ['paths', written?.path],
  ] as const) {
    if (said !== undefined && entry[field] !== undefined)
      throw invalid(`${place}.${field}`, `${JSON.stringify(entry.rule)} says it already`)
  }
  const { scheme = written?.scheme ?? null, methods = written?.methods ?? null } = entry
  const paths = entry.paths ?? (written?.path === undefined ? null : [globOf(written.path, place)])
  return scheme === null && methods === null && paths === null ? null : { scheme, methods, paths }
}

function globOf(text: string, place: string): PathGlob {
  const read = readGlob(text)
  if ('refused' in read) throw invalid(place, `${JSON.stringify(text)} is no path: ${read.refused}`)
  return read
}

function readText(text: string, requests: RequestScope | null, place: string): Rule {
  const told = JSON.stringify(text)
  const read = readHostPort(text)
  if (read === null) throw invalid(place, `${told} is not a name or an address with a port of 1 to 65535; ports of v6 are written [::]:443`)
  const kind = Object.values(shelf).find((one) => one.claims(read.host))
  if (kind === undefined) throw invalid(place, `${told} is no rule of a known kind: ${Object.keys(shelf).join(', ')}`)
  const scope = kind.read(read.host)
  if ('refused' in scope) throw invalid(place, `${told} is not a ${kind.name}: ${scope.refused}`)
  const where = hostPortText({ host: scope.text, port: read.port })
  return { ...scope, kind: kind.name, port: read.port, requests, text: requests === null ? where : scopeText(requests, where) }
}

/** A rule without a port covers every port. A rule with a port does not cover an endpoint whose port is unknown. */
export function covers(rule: Rule, endpoint: Endpoint): boolean {
  return (rule.port === null || rule.port === endpoint.port) && rule.covers(endpoint)
}

/** Whether `rule` makes `other` redundant. */
export function coversAllOf(rule: Rule, other: Rule): boolean {
  const isWide = rule.requests === null && (rule.port === null || rule.port === other.port)
  return isWide && other.corners.every((corner) => rule.covers(corner))
}

/** No policy is loaded unless every kind of rule matches its examples. */
export function proveKinds(): void {
  for (const [name, { examples }] of Object.entries(shelf)) {
    readRule({ rule: examples.rule, match: [...examples.match], not: [...examples.not] }, `policy/rules/${name}`)
  }
}

export function invalid(place: string, message: string): Fault {
  return new Fault('POLICY_INVALID', `${place}: ${message}`)
}
