import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { InstallationKey } from './installation-key.ts'

const ALGORITHM = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** All words are padded to this size, so that their length is not revealed. */
const PADDED_BYTES = 256

/**
 * Encrypts words that a sandbox's rules need but nobody should read. In requests, snapshots and states they are stored sealed with a key of this state folder.
 * They thus travel with the rules, and need no storage or cleanup of their own.
 */
export class Seal {
  readonly #key: InstallationKey

  constructor(home: string) {
    this.#key = new InstallationKey(home, 'seal.key')
  }

  /** At most 255 bytes. Rejects with HOME_UNUSABLE. */
  async seal(word: string): Promise<string> {
    const bytes = Buffer.from(word)
    const padded = Buffer.alloc(PADDED_BYTES)
    padded[0] = bytes.length
    bytes.copy(padded, 1)
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(ALGORITHM, await this.#key.bytes(), nonce)
    const sealed = [cipher.update(padded), cipher.final()]
    return Buffer.concat([nonce, cipher.getAuthTag(), ...sealed]).toString('base64url')
  }

  /** Undefined: not sealed by this installation. Rejects with HOME_UNUSABLE. */
  async open(sealed: string): Promise<string | undefined> {
    const bytes = Buffer.from(sealed, 'base64url')
    if (bytes.length !== NONCE_BYTES + TAG_BYTES + PADDED_BYTES) return undefined
    const decipher = createDecipheriv(ALGORITHM, await this.#key.bytes(), bytes.subarray(0, NONCE_BYTES))
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
    try {
      const padded = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()])
      return padded.subarray(1, 1 + (padded[0] ?? 0)).toString()
    } catch {
      // From another installation, or modified.
      return undefined
    }
  }
}
