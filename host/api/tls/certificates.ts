import 'reflect-metadata'
import { createPrivateKey, KeyObject, randomBytes, webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { Identity } from './identity.ts'

/** Loaded only when a certificate has to be made: what writes them is large. */

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' }
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' }
const DAY_MS = 86_400_000
const AUTHORITY_DAYS = 3650
/** Browsers take no longer ones (the CA/Browser Forum's baseline requirements). */
const SERVER_DAYS = 397
/** Clocks differ. */
const BACKDATED_MS = DAY_MS

/** An authority that signs for servers, and for no other authority. */
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
    ],
  })
  return { key: pemOf(keys.privateKey), cert: `${cert.toString('pem')}\n` }
}

/** For a server that is known by any of these names and addresses. */
export async function makeServerIdentity(
  authority: Identity,
  { names, addresses }: { names: readonly string[]; addresses: readonly string[] },
): Promise<Identity> {
  cryptoProvider.set(webcrypto as Crypto)
  const issuer = new X509Certificate(authority.cert)
  const der = createPrivateKey(authority.key).export({ type: 'pkcs8', format: 'der' })
  const signingKey = await webcrypto.subtle.importKey('pkcs8', der, CURVE, false, ['sign'])
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify'])
  const alternatives: JsonGeneralName[] = [
    ...names.map((value) => ({ type: 'dns' as const, value })),
    ...addresses.map((value) => ({ type: 'ip' as const, value })),
  ]
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    new SubjectAlternativeNameExtension(alternatives),
  ]
  const cert = await X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: 'CN=Caisson',
    issuer: issuer.subject,
    ...validity(SERVER_DAYS),
    signingAlgorithm: SIGNING,
    publicKey: keys.publicKey,
    signingKey,
    extensions,
  })
  return { key: pemOf(keys.privateKey), cert: `${cert.toString('pem')}\n` }
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(Date.now() - BACKDATED_MS), notAfter: new Date(Date.now() + days * DAY_MS) }
}

/** Positive, and not to be guessed (RFC 5280, 4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes.toString('hex')
}

function pemOf(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString()
}
