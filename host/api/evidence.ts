import type { IncomingMessage } from 'node:http'
import { Fault } from '@caisson/wire'

/** What a request is for, judged by its form alone. `path` begins with a slash and has no query; `query` begins with `?` or is empty. */
export type Evidence = { readonly path: string; readonly query: string } & (
  | { readonly kind: 'control' }
  | { readonly kind: 'signed' }
  /** `prefix`: the start of the path that named the sandbox. */
  | { readonly kind: 'sandbox'; readonly id: string; readonly port: number; readonly prefix: string }
)

const ID = /^[a-z0-9]{1,64}$/
const PORT = /^[1-9]\d{0,4}$/
const MAX_PORT = 65535
const SANDBOX_LABEL = /^(\d+)-([^.]*)\.(.+)$/
const ALIAS = /^\/s\/([^/]*)\/([^/]*)(\/.*)?$/
const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/i
/** RFC 6761: always this machine. Curl and browsers resolve its subdomains themselves. */
const LOCAL = 'localhost'
/** Hosts below the domain that are the control plane, or shared by all sandboxes and distinguished by headers. */
const OURS = ['api', 'sandbox']

/**
 * Checks headers first, then the host, then the path. `domain`: the one below which sandboxes have names, without its port; null: only names below `localhost`
 * count. Throws BAD_REQUEST for contradictory evidence, or an impossible sandbox.
 */
export function evidenceOf(request: IncomingMessage, domain: string | null): Evidence {
  const { target, host } = split(request)
  const mark = target.indexOf('?')
  const path = mark === -1 ? target : target.slice(0, mark)
  const query = mark === -1 ? '' : target.slice(mark)
  const id = request.headers['e2b-sandbox-id']
  const port = request.headers['e2b-sandbox-port']
  if (id !== undefined) return sandbox(id, port, 'E2b-Sandbox-Id', 'E2b-Sandbox-Port', path, query)
  if (port !== undefined) throw new Fault('BAD_REQUEST', 'E2b-Sandbox-Port came without E2b-Sandbox-Id')
  const named = sandboxOfHost(host, domain)
  if (named !== undefined) return sandbox(named.id, named.port, 'the host', 'the host', path, query)
  if (path.startsWith('/s/')) {
    const [, aliasId, aliasPort, rest = ''] = ALIAS.exec(path) ?? []
    const prefix = path.slice(0, path.length - rest.length)
    return { ...sandbox(aliasId, aliasPort, 'the path', 'the path', rest, query), prefix }
  }
  if (isFiles(path) && query.includes('signature=')) return { kind: 'signed', path, query }
  return { kind: 'control', path, query }
}

/** SDKs whose base URL ends in a slash request `//execute`. */
export function singleSlashes(path: string): string {
  return path.includes('//') ? path.replace(/\/{2,}/g, '/') : path
}

function isFiles(path: string): boolean {
  return path === '/files' || singleSlashes(path) === '/files'
}

/** A request to a proxy has scheme and host in its request line; that host then counts (RFC 9112, 3.2.2). */
function split(request: IncomingMessage): { target: string; host: string } {
  const target = request.url ?? ''
  const host = request.headers.host ?? ''
  if (target.startsWith('/') || (target === '*' && request.method === 'OPTIONS')) return { target, host }
  const absolute = ABSOLUTE.exec(target)
  if (absolute === null) throw new Fault('BAD_REQUEST', 'the request line names no path')
  const [, authority = '', rest = ''] = absolute
  return { target: rest.startsWith('/') ? rest : `/${rest}`, host: authority }
}

function sandboxOfHost(host: string, domain: string | null): { id: string; port: string } | undefined {
  const name = withoutPort(host).toLowerCase()
  const [, port = '', id = '', below = ''] = SANDBOX_LABEL.exec(name) ?? []
  if (below !== '' && (below === domain || below === LOCAL)) return { id, port }
  if (domain === null || !name.endsWith(`.${domain}`) || OURS.includes(name.slice(0, -domain.length - 1))) return undefined
  throw new Fault('BAD_REQUEST', `the host is none of <port>-<id>.${domain}, api.${domain} and sandbox.${domain}`)
}

function withoutPort(host: string): string {
  const colon = host.lastIndexOf(':')
  return colon === -1 || host.endsWith(']') ? host : host.slice(0, colon)
}

function sandbox(
  id: string | string[] | undefined,
  port: string | string[] | undefined,
  idSource: string,
  portSource: string,
  path: string,
  query: string,
): Extract<Evidence, { kind: 'sandbox' }> {
  if (typeof id !== 'string' || !ID.test(id)) throw new Fault('BAD_REQUEST', `${idSource} names no id of a sandbox`)
  if (port === undefined) throw new Fault('BAD_REQUEST', `${portSource} is missing`)
  if (typeof port !== 'string' || !PORT.test(port) || Number(port) > MAX_PORT) {
    throw new Fault('BAD_REQUEST', `${portSource} names no port from 1 to ${MAX_PORT}`)
  }
  return { kind: 'sandbox', id, port: Number(port), prefix: '', path, query }
}
