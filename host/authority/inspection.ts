import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { Fault } from '@caisson/wire'
import type { Identity } from './identity.ts'
import { javaStore } from './java-store.ts'

const KEY_FILE = 'authority.pem'
/** Bundles of the authorities that a system trusts, as the common ones keep them. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g
const KEY = /-----BEGIN PRIVATE KEY-----[\s\S]+?-----END PRIVATE KEY-----/

/** What sandboxes trust whose connections are looked into. Nobody outside of a sandbox has a reason to. */
export interface Inspection {
  readonly authority: Identity
  /** Of the authority alone: for what adds to its own list (NODE_EXTRA_CA_CERTS). */
  readonly certPath: string
  /** The same among all that this machine trusts: for what replaces a list (SSL_CERT_FILE). */
  readonly bundlePath: string
  /** As Java keeps the same. */
  readonly javaPath: string
  /** PEM; what the certificates of servers must rest on. */
  readonly serverAuthorities: readonly string[]
}

/**
 * The authority of this state folder, made once: key and certificate are one file, so that of two processes which make it, one is first. Rejects with
 * HOME_UNUSABLE.
 *
 * @param extra file of further authorities (PEM) that servers may rest on; null: none
 */
export async function openInspection(home: string, extra: string | null): Promise<Inspection> {
  const folder = join(home, 'inspection')
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const authority = (await kept(folder)) ?? (await make(folder))
    const known = await knownHere(extra)
    const certPath = join(folder, 'ca.pem')
    const bundlePath = join(folder, 'bundle.pem')
    // Sandboxes have them bound, and read them as users of their own.
    await place(certPath, Buffer.from(authority.cert))
    const trusted = [...known, authority.cert.trim()]
    await place(bundlePath, Buffer.from(`${trusted.join('\n')}\n`))
    const javaPath = join(folder, 'java.jks')
    await place(javaPath, javaStore(trusted))
    return { authority, certPath, bundlePath, javaPath, serverAuthorities: known }
  } catch (cause) {
    if (cause instanceof Fault) throw cause
    throw new Fault('HOME_UNUSABLE', `${folder}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

async function make(folder: string): Promise<Identity> {
  const { makeAuthority } = await import('./certificates.ts')
  const { key, cert } = await makeAuthority(`Caisson inspection ${randomBytes(4).toString('hex')}`)
  const fresh = join(folder, `${KEY_FILE}.${randomBytes(8).toString('hex')}`)
  await writeFile(fresh, `${key}${cert}`, { mode: 0o600 })
  try {
    await link(fresh, join(folder, KEY_FILE))
    return { key, cert }
  } catch (failure) {
    // Another process was first.
    const theirs = failure instanceof Error && 'code' in failure && failure.code === 'EEXIST' ? await kept(folder) : undefined
    if (theirs === undefined) throw failure
    return theirs
  } finally {
    await rm(fresh, { force: true })
  }
}

/** Undefined: there is none. */
async function kept(folder: string): Promise<Identity | undefined> {
  const path = join(folder, KEY_FILE)
  const text = await textOf(path)
  if (text === undefined) return undefined
  const [key = '', cert = ''] = [KEY.exec(text)?.[0], text.match(CERTIFICATE)?.[0]]
  try {
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) throw new Error('the key is not that of the certificate')
  } catch (cause) {
    throw new Fault('HOME_UNUSABLE', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      hint: 'Remove it; another one is made, which sandboxes trust that are created from then on.',
      cause,
    })
  }
  return { key: `${key}\n`, cert: `${cert}\n` }
}

async function knownHere(extra: string | null): Promise<string[]> {
  const further = extra === null ? [] : certificatesIn(await readFile(extra, 'utf8'), extra)
  for (const path of SYSTEM_BUNDLES) {
    const text = await textOf(path)
    if (text !== undefined) return [...certificatesIn(text, path), ...further]
  }
  return [...rootCertificates, ...further]
}

function certificatesIn(text: string, path: string): string[] {
  const found = text.match(CERTIFICATE) ?? []
  if (found.length > 0) return found
  throw new Fault('BAD_REQUEST', `${path}: no certificate in it`, { hint: 'Name a file of certificates in PEM.' })
}

async function place(path: string, content: Buffer): Promise<void> {
  if ((await bytesOf(path))?.equals(content) === true) return
  const fresh = `${path}.${randomBytes(8).toString('hex')}`
  await writeFile(fresh, content, { mode: 0o644 })
  await rename(fresh, path)
}

async function textOf(path: string): Promise<string | undefined> {
  return (await bytesOf(path))?.toString()
}

async function bytesOf(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (failure) {
    if (failure instanceof Error && 'code' in failure && failure.code === 'ENOENT') return undefined
    throw failure
  }
}
