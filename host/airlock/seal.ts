import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { InstallationKey } from './installation-key.ts'

const ALGORITHM = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** All words are as long under the seal. */
const PADDED_BYTES = 256

/**
 * Words that a sandbox's rules need and nobody is to read: in requests, snapshots and states they stand sealed, with a key of the state folder's own. So they go wherever
 * the rules go, and need no place to be kept in and removed from.
 */
export class Seal {
  readonly #key: InstallationKey

  constructor(home: string) {
    this.#key = new InstallationKey(home, 'seal.key')
  }

  /** Of at most 255 bytes. Rejects with HOME_UNUSABLE. */
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

  /** Undefined: this installation has not sealed it. Rejects with HOME_UNUSABLE. */
  async open(sealed: string): Promise<string | undefined> {
    const bytes = Buffer.from(sealed, 'base64url')
    if (bytes.length !== NONCE_BYTES + TAG_BYTES + PADDED_BYTES) return undefined
    const decipher = createDecipheriv(ALGORITHM, await this.#key.bytes(), bytes.subarray(0, NONCE_BYTES))
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
    try {
      const padded = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()])
      return padded.subarray(1, 1 + (padded[0] ?? 0)).toString()
    } catch {
      // Of another installation, or changed.
      return undefined
    }
  }
}
