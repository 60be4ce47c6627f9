import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { Fault } from '@caisson/wire'
import type { Identity } from '../../authority/identity.ts'
import { refuseAborted } from '../../lifetimes.ts'

/** A server's identity, and what its clients must trust. */
export interface Tls extends Identity {
  /** The authority's certificate: for NODE_EXTRA_CA_CERTS, `curl --cacert`, browsers. */
  readonly caPath: string
  /** The same among those that are trusted everywhere: for SSL_CERT_FILE and REQUESTS_CA_BUNDLE, which replace what a program trusts. */
  readonly bundlePath: string
}

const DAY_MS = 86_400_000
const RENEW_BEFORE_MS = 30 * DAY_MS
const LOOK_MS = DAY_MS / 2
const LABELS = /^(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+$/
const ADDRESSES = ['127.0.0.1', '::1']

export interface Place {
  /** Sandboxes have names below it; a port at its end does not matter. */
  readonly domain: string | null
  /** Name or address that is listened on. */
  readonly host: string
}

/** What a certificate is for. */
interface Names {
  readonly names: readonly string[]
  readonly addresses: readonly string[]
}

/**
 * The identity of a daemon for its domain, all names below it, and this machine's own addresses, by an authority of this state folder that is made
 * once. It is renewed while it is used. Rejects with BAD_REQUEST for a domain that no certificate can be for, HOME_UNUSABLE when the files cannot be used.
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

/** A wildcard stands for one label, and clients want at least two behind it. */
function namesBelow(domain: string): string[] {
  const bare = domain.replace(/:\d+$/, '').toLowerCase()
  if (LABELS.test(bare) && !/^[\d.]+$/.test(bare)) return [bare, `*.${bare}`]
  throw new Fault('BAD_REQUEST', `no certificate can be for all names below ${JSON.stringify(domain)}`, {
    hint: 'Name a domain of at least two parts, such as sbx.localhost.',
  })
}

async function newAuthority(): Promise<Identity> {
  const { makeAuthority } = await import('../../authority/certificates.ts')
  // Of several that a browser may know, a person finds this one.
  return makeAuthority(`Caisson of ${hostname().replace(/[^\w.-]/g, '-')}`)
}

/** The kept one while it is good for these names and of this authority, else a new one. */
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

/** Undefined: there is none, or its time is nearly over. Throws for one that is damaged: whoever trusted it is to decide. */
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
  // A certificate without its key would be taken for damaged; a key without its certificate is as good as none.
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
    // What cannot be renewed today may be tomorrow: there is a month to do it in.
    setInterval(() => look().catch(() => undefined), LOOK_MS).unref()
  }

  get key(): string {
    return this.#current.key
  }

  get cert(): string {
    return this.#current.cert
  }
}
