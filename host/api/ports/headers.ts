import { type IncomingMessage, validateHeaderName, validateHeaderValue } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { isSame } from '../tokens.ts'

/** Hop-by-hop headers (RFC 9110, 7.6.1). */
const OF_THE_CONNECTION: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
])
/** Regenerated or already handled here. */
const REPLACED: ReadonlySet<string> = new Set([
  'host',
  'expect',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-prefix',
])
/** Headers for Caisson only. A server inside may have its own X-API-Key, which is passed on unless it holds one of our keys. */
const OURS = /^(e2b-|x-access-token$)/
const KEY = /\be2b_[0-9a-f]{16,}\b/i
const MAY_CARRY_A_KEY: ReadonlySet<string> = new Set(['x-api-key', 'authorization'])
/** Not allowed in trailers (RFC 9110, 6.5.1). */
const OF_A_HEAD: ReadonlySet<string> = new Set(['content-encoding', 'content-length', 'content-type', 'cookie', 'set-cookie', 'trailer'])
/** Headers with which a server inside could affect the daemon's own origin when it is served below it. */
const OF_THE_ORIGIN: ReadonlySet<string> = new Set([
  'clear-site-data',
  'nel',
  'report-to',
  'reporting-endpoints',
  'service-worker-allowed',
  'set-cookie',
  'strict-transport-security',
])
/** It would apply to the daemon's port, which no server inside has. */
const NEVER_PASSED_OUT = 'alt-svc'
const NO_CONTENT = 204
const COOKIE_DOMAIN = /;\s*domain\s*=[^;]*/gi
/** A page served below the daemon's origin is given an opaque origin of its own. */
const APART = 'sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts'

export interface Guise {
  readonly port: number
  /** Path prefix through which it was reached; empty if it has its own origin. */
  readonly prefix: string
  /** Host header for servers inside. */
  readonly maskRequestHost: string | null
  isKey(value: string): boolean
  readonly accessToken: string | null
}

/** Headers for the server inside, alternating names and values. Framing and connection headers are the caller's task. */
export function headersInward(request: IncomingMessage, guise: Guise): string[] {
  const { rawHeaders, headers } = request
  const named = namedBy(headers.connection)
  const inward = ['Host', hostFor(request, guise)]
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = [rawHeaders[at], rawHeaders[at + 1]]
    if (named.has(name.toLowerCase()) || !mayGoIn(name.toLowerCase(), value, guise)) continue
    inward.push(name, value)
  }
  const address = request.socket.remoteAddress ?? ''
  const before = headers['x-forwarded-for']
  inward.push('X-Forwarded-For', before === undefined ? address : `${before}, ${address}`)
  if (headers.host !== undefined) inward.push('X-Forwarded-Host', headers.host)
  inward.push('X-Forwarded-Proto', (request.socket as TLSSocket).encrypted === true ? 'https' : 'http')
  if (guise.prefix !== '') inward.push('X-Forwarded-Prefix', guise.prefix)
  return inward
}

/** Headers of a server's answer for the client, alternating names and values. */
export function headersOutward(answer: IncomingMessage, guise: Guise): string[] {
  const { rawHeaders, headers } = answer
  const named = namedBy(headers.connection)
  const isBelow = guise.prefix !== ''
  const outward: string[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = [rawHeaders[at], rawHeaders[at + 1]]
    const lower = name.toLowerCase()
    if (named.has(lower) || !mayGoOut(lower, guise)) continue
    // There is no body, whatever its length is said to be (RFC 9110, 15.3.5).
    if (answer.statusCode === NO_CONTENT && lower === 'content-length') continue
    // A cookie is for the sandbox that sets it, not for others below the same domain.
    outward.push(name, lower === 'set-cookie' ? value.replace(COOKIE_DOMAIN, '') : value)
  }
  if (isBelow) {
    outward.push('Content-Security-Policy', APART)
    // In an opaque origin, a page's requests to its own server are cross-origin.
    if (headers['access-control-allow-origin'] === undefined) outward.push('Access-Control-Allow-Origin', '*')
  }
  return outward
}

/** Trailers that may be passed on, alternating names and values: none that would not have passed as a header, nor any about framing. */
export function trailersInward({ rawTrailers }: IncomingMessage, guise: Guise): string[] {
  return pairsOf(rawTrailers, (name, value) => !OF_A_HEAD.has(name) && mayGoIn(name, value, guise))
}

export function trailersOutward({ rawTrailers }: IncomingMessage, guise: Guise): string[] {
  return pairsOf(rawTrailers, (name) => !OF_A_HEAD.has(name) && mayGoOut(name, guise))
}

function pairsOf(raw: readonly string[], isWanted: (name: string, value: string) => boolean): string[] {
  return raw.filter((_, at) => isWanted((raw[at - (at % 2)] ?? '').toLowerCase(), raw[at - (at % 2) + 1] ?? ''))
}

function mayGoIn(name: string, value: string, guise: Guise): boolean {
  if (OF_THE_CONNECTION.has(name) || REPLACED.has(name) || OURS.test(name) || isSecret(name, value, guise)) return false
  // Cookies of the daemon's origin include those of every program that the browser reaches under the same host name.
  return guise.prefix === '' || name !== 'cookie'
}

function mayGoOut(name: string, { prefix }: Guise): boolean {
  return !OF_THE_CONNECTION.has(name) && name !== NEVER_PASSED_OUT && (prefix === '' || !OF_THE_ORIGIN.has(name))
}

/** The head of a response that upgrades the connection, as lines. Throws if it is malformed. */
export function headersUpgraded(answer: IncomingMessage, guise: Guise): string {
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', `Upgrade: ${answer.headers.upgrade ?? ''}`]
  const headers = headersOutward(answer, guise)
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const [name = '', value = ''] = [headers[at], headers[at + 1]]
    validateHeaderName(name)
    validateHeaderValue(name, value)
    lines.push(`${name}: ${value}`)
  }
  validateHeaderValue('Upgrade', lines[2] ?? '')
  return `${lines.join('\r\n')}\r\n\r\n`
}

function namedBy(connection: string | undefined): ReadonlySet<string> {
  if (connection === undefined) return OF_THE_CONNECTION
  const names = connection.toLowerCase().split(',')
  // The peer must not remove framing headers.
  return new Set(names.map((name) => name.trim()).filter((name) => name !== 'content-length' && name !== 'host'))
}

function hostFor({ headers }: IncomingMessage, { port, maskRequestHost }: Guise): string {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: these are the letters that stand for the port.
  if (maskRequestHost !== null) return maskRequestHost.replaceAll('${PORT}', String(port))
  return headers.host ?? `localhost:${port}`
}

function isSecret(name: string, value: string, { isKey, accessToken }: Guise): boolean {
  if (!MAY_CARRY_A_KEY.has(name)) return false
  const bare = value.replace(/^bearer\s+/i, '')
  return KEY.test(value) || isKey(bare) || (accessToken !== null && isSame(bare, accessToken))
}
