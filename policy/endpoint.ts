import { type Address, addressText, readAddress } from './addresses.ts'
import { normaliseName } from './names.ts'

/** The target of a connection. `port` null: a name query, before any port is known. */
export interface Endpoint {
  readonly name: string | null
  readonly address: Address | null
  readonly port: number | null
}

/** `host` has no brackets. `port` null: not given. */
export interface HostPort {
  readonly host: string
  readonly port: number | null
}

const FORM = /^(?:\[([^[\]]*)\]|([^[\]]*?))(?::(\d{1,5}))?$/

export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535
}

/** `example.com`, `example.com:443`, `10.0.0.0/8:443`, `2001:db8::/32`, `[2001:db8::/32]:443`. Null: none of these. */
export function readHostPort(text: string): HostPort | null {
  // Several colons without brackets: an IPv6 address without a port.
  if (!text.startsWith('[') && text.indexOf(':') !== text.lastIndexOf(':')) return { host: text, port: null }
  const form = FORM.exec(text)
  if (form === null) return null
  const [, bracketed, plain, digits] = form
  if (bracketed !== undefined && !bracketed.includes(':')) return null
  const port = digits === undefined ? null : Number(digits)
  return port === null || isPort(port) ? { host: bracketed ?? plain ?? '', port } : null
}

export function hostPortText({ host, port }: HostPort): string {
  if (port === null) return host
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Parses an example of a rule. Null: neither a name nor an address. */
export function readEndpoint(text: string): Endpoint | null {
  const read = readHostPort(text)
  if (read === null) return null
  const address = readAddress(read.host)
  if (address !== null) return { name: null, address, port: read.port }
  const named = normaliseName(read.host)
  return 'name' in named ? { name: named.name, address: null, port: read.port } : null
}

export function endpointText({ name, address, port }: Endpoint): string {
  return hostPortText({ host: name ?? (address === null ? '' : addressText(address)), port })
}
