import { family } from './family.ts'
import { sample } from './samples.ts'

const DASHES = '-'.repeat(5)

/** Private keys, as text and as bytes. The base64 content of a PEM file is recognised even without its first line. */
export const privateKeys = family(
  {
    name: 'private-key',
    finds: 'a private key: PEM, OpenSSH, PKCS#1, PKCS#8, SEC 1, PGP, PuTTY, age',
    patterns: [
      '-----BEGIN[ +]([A-Z0-9]{2,10}[ +]){0,2}PRIVATE[ +]KEY([ +]BLOCK)?-----',
      'openssh-key-v1\\x00',
      'PuTTY-User-Key-File-[0-9]:',
      'AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}',
      // PrivateKeyInfo, with the OIDs of RSA, elliptic curves, Ed25519 and X25519.
      '\\x30\\x82[\\x00-\\xff]{2}\\x02\\x01\\x00\\x30\\x0d\\x06\\x09\\x2a\\x86\\x48\\x86\\xf7\\x0d\\x01\\x01\\x01\\x05\\x00\\x04\\x82',
      '\\x30(\\x81[\\x00-\\xff]|\\x82[\\x00-\\xff]{2}|[\\x00-\\x7f])\\x02\\x01\\x00\\x30(\\x10|\\x13|\\x14)\\x06\\x07\\x2a\\x86\\x48\\xce\\x3d\\x02\\x01',
      '\\x30(\\x2e|\\x47)\\x02\\x01\\x00\\x30\\x05\\x06\\x03\\x2b\\x65[\\x6e-\\x71]\\x04',
      // Bare RSAPrivateKey and ECPrivateKey.
      '\\x30\\x82[\\x00-\\xff]{2}\\x02\\x01\\x00\\x02\\x82[\\x00-\\xff]{2}\\x00',
      '\\x30\\x77\\x02\\x01\\x01\\x04\\x20',
    ],
    examples: {
      match: [
        ...['', 'RSA ', 'EC ', 'OPENSSH ', 'ENCRYPTED '].map((kind) => `${DASHES}BEGIN ${kind}PRIVATE KEY${DASHES}\n`),
        `${DASHES}BEGIN PGP PRIVATE KEY BLOCK${DASHES}`,
        `AGE-SECRET${'-KEY-1'}${'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L'.repeat(2).slice(0, 58)}`,
        '\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20',
      ],
      not: [
        `${DASHES}BEGIN PUBLIC KEY${DASHES}`,
        `${DASHES}BEGIN CERTIFICATE${DASHES}`,
        `${DASHES}END PRIVATE KEY${DASHES}`,
        'BEGIN PRIVATE KEY',
      ],
    },
  },
  {
    name: 'jwt',
    finds: 'a JSON web token',
    patterns: ['eyJ[A-Za-z0-9_-]{8,}\\.eyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{16,}'],
    examples: {
      match: [`Bearer ey${'JhbGciOiJIUzI1NiJ9'}.ey${'JzdWIiOiIxMjM0In0'}.${sample('word', 43)}`],
      not: ['eyJhbGciOiJIUzI1NiJ9', `ey${'JhbGciOiJIUzI1NiJ9'}.ey${'JzdWIiOiIxMjM0In0'}.`],
    },
  },
)
