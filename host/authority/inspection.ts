import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { Fault } from '@caisson/wire'
import type { Identity } from './identity.ts'
import { javaStore } from './java-store.ts'

const KEY_FILE = 'authority.pem'
/** Trust bundles in the places where common systems keep them. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g
const KEY = /-----BEGIN PRIVATE KEY-----[\s\S]+?-----END PRIVATE KEY-----/

/** The certificates that sandboxes with inspected connections trust. Nothing outside a sandbox should. */
export interface Inspection {
  readonly authority: Identity
  /** The authority alone, for programs that extend their trust list (NODE_EXTRA_CA_CERTS). */
  readonly certPath: string
  /** The authority together with all that this machine trusts, for programs that replace their list (SSL_CERT_FILE). */
  readonly bundlePath: string
  /** The same in Java's format. */
  readonly javaPath: string
  /** PEM; the roots that server certificates must chain to. */
  readonly serverAuthorities: readonly string[]
}

/**
 * The inspection authority of this state folder, made once. Key and certificate are in one file, so that when two processes make it, one wins. Rejects with
 * HOME_UNUSABLE.
 *
 * @param extra file with further authorities (PEM) that servers may chain to; null: none
 */
export async function openInspection(home: string, extra: string | null): Promise<Inspection> {
  const folder = join(home, 'inspection')
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const authority = (await kept(folder)) ?? (await make(folder))
    const known = await knownHere(extra)
    const certPath = join(folder, 'ca.pem')
    const bundlePath = join(folder, 'bundle.pem')
    // Sandboxes bind these files and read them as their own users.
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
    // Another process was faster.
    const theirs = failure instanceof Error && 'code' in failure && failure.code === 'EEXIST' ? await kept(folder) : undefined
    if (theirs === undefined) throw failure
    return theirs
  } finally {
    await rm(fresh, { force: true })
  }
}

/** Undefined: there is none yet. */
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
