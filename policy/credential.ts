import { z } from 'zod'
import { invalid, type Rule, readRule } from './rule.ts'

const PLACE = '{secret}'
/** Permitted names of secrets. */
export const SecretName = z.string().regex(/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/, 'is no name of a secret (letters, digits, _ . and -)')
/** Headers about routing, framing or the connection may not carry a credential. */
const RESERVED_HEADERS =
  /^(host|connection|content-length|content-encoding|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|sec-websocket-.*|:.*)$/
export const HeaderName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/, 'is no name of a header')
  .refine((name) => !RESERVED_HEADERS.test(name.toLowerCase()), 'is a header that cannot be set')
export const HeaderValue = z
  .string()
  .min(1)
  .max(2048)
  .regex(/^[\t\x20-\x7e]+$/, 'has characters in it that no header has')

/** A secret that the gate adds to requests. It never enters the sandbox. */
export const Credential = z.strictObject({
  /** The name under which the operator stored it. */
  secret: SecretName,
  /** `api.example.com`, `*.example.com`, or an address; without a port, the scheme's default applies. */
  host: z.string().min(1).max(300),
  scheme: z.enum(['https', 'http']).default('https'),
  header: HeaderName.default('authorization'),
  /** Contains `{secret}` exactly once. */
  value: HeaderValue.default(`Bearer ${PLACE}`),
})

const MAX_HEADERS = 20

/** Fields that are set literally. */
export const Headers = z.strictObject({
  host: z.string().min(1).max(300),
  scheme: z.enum(['https', 'http']).default('https'),
  headers: z
    .record(HeaderName, HeaderValue)
    .refine((headers) => Object.keys(headers).length <= MAX_HEADERS, `more than ${MAX_HEADERS} headers`),
})

/** A field that is set on each request to a host, replacing the program's own. */
export interface HeaderRule {
  /** Host and port. */
  readonly rule: Rule
  /** Null: both schemes. */
  readonly scheme: 'https' | 'http' | null
  /** Lower case. */
  readonly header: string
  /** `{secret}` stands for the secret's value. */
  readonly value: string
  /** Null: the value contains no secret. */
  readonly secret: string | null
}

/** Throws POLICY_INVALID naming the problem. */
export function readCredential(entry: z.infer<typeof Credential>, place: string): HeaderRule {
  const { secret, host, scheme, header, value } = entry
  if (value.split(PLACE).length !== 2) throw invalid(`${place}.value`, `${PLACE} is to stand in it once`)
  return { rule: hostRule(host, scheme, `${place}.host`), scheme, header: header.toLowerCase(), value, secret }
}

/** Throws POLICY_INVALID naming the problem. */
export function readHeaders({ host, scheme, headers }: z.infer<typeof Headers>, place: string): HeaderRule[] {
  const rule = hostRule(host, scheme, `${place}.host`)
  return Object.entries(headers).map(([header, value]) => ({ rule, scheme, header: header.toLowerCase(), value, secret: null }))
}

function hostRule(host: string, scheme: 'https' | 'http', place: string): Rule {
  const read = readRule({ rule: host, match: [], not: [] }, place)
  if (read.requests !== null) throw invalid(place, 'it is a host, without method, scheme and path')
  return read.port === null ? readRule({ rule: portSaid(read, scheme), match: [], not: [] }, place) : read
}

function portSaid({ text, kind }: Rule, scheme: 'https' | 'http'): string {
  const port = scheme === 'https' ? 443 : 80
  return kind === 'cidr' && text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`
}

export function filledIn(value: string, secret: string): string {
  return value.replace(PLACE, () => secret)
}
