import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { Fault } from '@caisson/wire'
import type { Identity } from '../../authority/identity.ts'
import { refuseAborted } from '../../lifetimes.ts'

/** A server's identity, and the certificates that its clients must trust. */
export interface Tls extends Identity {
  /** The authority's certificate, for NODE_EXTRA_CA_CERTS, `curl --cacert` and browsers. */
  readonly caPath: string
  /** The same together with the usual roots, for SSL_CERT_FILE and REQUESTS_CA_BUNDLE, which replace a program's trust list. */
  readonly bundlePath: string
}

const DAY_MS = 86_400_000
const RENEW_BEFORE_MS = 30 * DAY_MS
const LOOK_MS = DAY_MS / 2
const LABELS = /^(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+$/
const ADDRESSES = ['127.0.0.1', '::1']

export interface Place {
  /** Sandboxes have names below it; a port at its end is ignored. */
  readonly domain: string | null
  /** The name or address to listen on. */
  readonly host: string
}

/** The names in a certificate. */
interface Names {
  readonly names: readonly string[]
  readonly addresses: readonly string[]
}

/**
 * The identity of a daemon for its domain, all names below it, and this machine's own addresses. An authority in this state folder, created once, signs it. It
 * is renewed while in use. Rejects with BAD_REQUEST for a domain that no certificate can have, or HOME_UNUSABLE.
 */
export async function openTls(home: string, place: Place, signal: AbortSignal): Promise<Tls> {
  refuseAborted(signal)
  const names = namesFor(place)
  const folder = join(home, 'ca')
  const caPath = join(folder, 'ca.pem')
  const bundlePath = join(folder, 'bundle.pem')
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const authority = (await kept(folder, 'ca')) ?? (await keep(folder, 'ca', await newAuthority()))
    const current = await serverIdentity(folder, authority, names)
    await write(bundlePath, [...rootCertificates, authority.cert].join('\n'))
    return new Renewed(current, () => serverIdentity(folder, authority, names), { caPath, bundlePath })
  } catch (cause) {
    if (cause instanceof Fault) throw cause
    throw new Fault('HOME_UNUSABLE', `${folder}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

function namesFor({ domain, host }: Place): Names {
  const isOwn = isIP(host) !== 0 && ![...ADDRESSES, '0.0.0.0', '::'].includes(host)
  const addresses = isOwn ? [...ADDRESSES, host] : ADDRESSES
  const hosts = isIP(host) !== 0 || host === 'localhost' ? ['localhost'] : ['localhost', host.toLowerCase()]
  return { names: domain === null ? hosts : [...namesBelow(domain), ...hosts], addresses }
}

/** A wildcard matches one label, and clients require at least two labels after it. */
function namesBelow(domain: string): string[] {
  const bare = domain.replace(/:\d+$/, '').toLowerCase()
  if (LABELS.test(bare) && !/^[\d.]+$/.test(bare)) return [bare, `*.${bare}`]
  throw new Fault('BAD_REQUEST', `no certificate can be for all names below ${JSON.stringify(domain)}`, {
    hint: 'Name a domain of at least two parts, such as sbx.localhost.',
  })
}

async function newAuthority(): Promise<Identity> {
  const { makeAuthority } = await import('../../authority/certificates.ts')
  // A name by which a person can recognise it among others in a browser.
  return makeAuthority(`Caisson of ${hostname().replace(/[^\w.-]/g, '-')}`)
}

/** The stored identity if it is valid for these names and from this authority, otherwise a new one. */
async function serverIdentity(folder: string, authority: Identity, wanted: Names): Promise<Identity> {
  const found = await kept(folder, 'server')
  if (found !== undefined && isGood(found, authority, wanted)) return found
  const { makeServerIdentity } = await import('../../authority/certificates.ts')
  return keep(folder, 'server', await makeServerIdentity(authority, wanted))
}

function isGood({ cert }: Identity, authority: Identity, { names, addresses }: Names): boolean {
  const read = new X509Certificate(cert)
  if (!read.verify(new X509Certificate(authority.cert).publicKey)) return false
  const isNamed = names.every((name) => read.checkHost(name.replace('*', 'any'), { subject: 'never' }) !== undefined)
  return isNamed && addresses.every((address) => read.checkIP(address) !== undefined)
}

/** Undefined: there is none, or it expires soon. Throws if it is damaged: whoever trusted it must decide. */
async function kept(folder: string, name: string): Promise<Identity | undefined> {
  const [key, cert] = await Promise.all([textOf(join(folder, `${name}.key`)), textOf(join(folder, `${name}.pem`))])
  if (key === undefined || cert === undefined) return undefined
  let read: X509Certificate
  try {
    read = new X509Certificate(cert)
    if (!read.checkPrivateKey(createPrivateKey(key))) throw new Error('the key is not that of the certificate')
  } catch (cause) {
    throw new Fault('HOME_UNUSABLE', `${folder}/${name}.pem: ${cause instanceof Error ? cause.message : String(cause)}`, {
      hint: `Remove ${folder}; another one is made, which must be trusted again.`,
      cause,
    })
  }
  return Date.parse(read.validTo) - Date.now() > RENEW_BEFORE_MS ? { key, cert } : undefined
}

async function keep(folder: string, name: string, identity: Identity): Promise<Identity> {
  // A certificate without its key would count as damaged; a key without its certificate counts as missing.
  await write(join(folder, `${name}.pem`), '')
  await write(join(folder, `${name}.key`), identity.key)
  await write(join(folder, `${name}.pem`), identity.cert)
  return identity
}

async function write(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600 })
  await rename(`${path}.new`, path)
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    const text = await readFile(path, 'utf8')
    return text === '' ? undefined : text
  } catch (failure) {
    if (failure instanceof Error && 'code' in failure && failure.code === 'ENOENT') return undefined
    throw failure
  }
}

class Renewed implements Tls {
  readonly caPath: string
  readonly bundlePath: string
  #current: Identity

  constructor(current: Identity, renew: () => Promise<Identity>, { caPath, bundlePath }: { caPath: string; bundlePath: string }) {
    this.#current = current
    this.caPath = caPath
    this.bundlePath = bundlePath
    const look = async () => {
      this.#current = await renew()
    }
    // A failed renewal can be retried: there is a month to do it.
    setInterval(() => look().catch(() => undefined), LOOK_MS).unref()
  }

  get key(): string {
    return this.#current.key
  }

  get cert(): string {
    return this.#current.cert
  }
}
