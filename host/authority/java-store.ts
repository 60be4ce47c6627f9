import { createHash } from 'node:crypto'

/**
 * Certificates in the format of Java's trust store (JKS version 2, as OpenJDK's JavaKeyStore reads it). Java opens its own store without a password; the digest
 * at the end uses the well-known default password, for tools that ask for it.
 */
export function javaStore(certificates: readonly string[]): Buffer {
  const entries = certificates.map((certificate, index) => {
    const der = Buffer.from(certificate.replace(/-----[A-Z ]+-----/g, ''), 'base64')
    return Buffer.concat([u32(TRUSTED), text(`caisson-${index}`), Buffer.alloc(8), text('X.509'), u32(der.length), der])
  })
  const store = Buffer.concat([u32(MAGIC), u32(VERSION), u32(entries.length), ...entries])
  const password = Buffer.from(PASSWORD, 'utf16le').swap16()
  return Buffer.concat([store, createHash('sha1').update(password).update(WHITENER).update(store).digest()])
}

const MAGIC = 0xfeedfeed
const VERSION = 2
const TRUSTED = 2
const PASSWORD = 'changeit'
const WHITENER = 'Mighty Aphrodite'

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** Text as Java writes it (ASCII only): its length in two bytes, then its bytes. */
function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length >> 8, value.length & 0xff]), Buffer.from(value, 'latin1')])
}
