import 'reflect-metadata'
import { createPrivateKey, KeyObject, randomBytes, webcrypto } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { Identity } from './identity.ts'

/** Loaded only when a certificate has to be made, because the library that makes them is large. */

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' }
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' }
const DAY_MS = 86_400_000
const AUTHORITY_DAYS = 3650
/** Browsers reject longer ones (the CA/Browser Forum's baseline requirements). */
const SERVER_DAYS = 397
const LEAF_DAYS = 1
/** Allows for clock skew. */
const BACKDATED_MS = DAY_MS

/** A certificate authority that may sign server certificates but no other authority. */
export async function makeAuthority(name: string): Promise<Identity> {
  cryptoProvider.set(webcrypto as Crypto)
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify'])
  const cert = await X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: `CN=${name}`,
    ...validity(AUTHORITY_DAYS),
    signingAlgorithm: SIGNING,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      // Python 3.13 and later require it.
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { key: pemOf(keys.privateKey), cert: `${cert.toString('pem')}\n` }
}

/** A certificate for a server with these names and addresses. */
export async function makeServerIdentity(
  authority: Identity,
  { names, addresses }: { names: readonly string[]; addresses: readonly string[] },
): Promise<Identity> {
  cryptoProvider.set(webcrypto as Crypto)
  const issuer = new X509Certificate(authority.cert)
  const signingKey = await importedKey(authority.key)
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify'])
  const alternatives: JsonGeneralName[] = [
    ...names.map((value) => ({ type: 'dns' as const, value })),
    ...addresses.map((value) => ({ type: 'ip' as const, value })),
  ]
  const cert = await X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: 'CN=Caisson',
    issuer: issuer.subject,
    ...validity(SERVER_DAYS),
    signingAlgorithm: SIGNING,
    publicKey: keys.publicKey,
    signingKey,
    extensions: serverExtensions(alternatives),
  })
  return { key: pemOf(keys.privateKey), cert: `${cert.toString('pem')}\n` }
}

/** Signs one-day certificates, each for one name or address: by then its client has gone or asks again. They share a key that is never written to disk. */
export async function leafSigner(
  authority: Identity,
): Promise<(place: { readonly name: string } | { readonly address: string }) => Promise<Identity>> {
  cryptoProvider.set(webcrypto as Crypto)
  const issuer = new X509Certificate(authority.cert)
  const signingKey = await importedKey(authority.key)
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify'])
  const key = pemOf(keys.privateKey)
  return async (place) => {
    const alternative: JsonGeneralName = 'name' in place ? { type: 'dns', value: place.name } : { type: 'ip', value: place.address }
    const cert = await X509CertificateGenerator.create({
      serialNumber: newSerial(),
      // A common name is limited to 64 characters, and clients ignore it.
      subject: 'CN=Caisson inspection',
      issuer: issuer.subject,
      ...validity(LEAF_DAYS),
      signingAlgorithm: SIGNING,
      publicKey: keys.publicKey,
      signingKey,
      extensions: [...serverExtensions([alternative]), await AuthorityKeyIdentifierExtension.create(issuer)],
    })
    return { key, cert: `${cert.toString('pem')}\n` }
  }
}

function serverExtensions(alternatives: JsonGeneralName[]): Extension[] {
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    new SubjectAlternativeNameExtension(alternatives),
  ]
}

function importedKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' })
  return webcrypto.subtle.importKey('pkcs8', der, CURVE, false, ['sign'])
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(Date.now() - BACKDATED_MS), notAfter: new Date(Date.now() + days * DAY_MS) }
}

/** Positive and unpredictable (RFC 5280, 4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes.toString('hex')
}

function pemOf(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString()
}
