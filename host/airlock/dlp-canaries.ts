import { createHmac } from 'node:crypto'
import type { Canary } from '@caisson/policy'
import type { Egress } from './egress.ts'
import { InstallationKey } from './installation-key.ts'

const VALUE_LENGTH = 40
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

export interface Planted extends Canary {
  /** Its location: an environment variable, or a file in the user's home with its text. */
  readonly at: { readonly env: string } | { readonly file: string; readonly text: string }
}

/**
 * Decoy values unique to one sandbox. They are derived from a key of this state folder and the sandbox's id, so that a restarted host can recompute them and
 * nothing has to be stored.
 */
export class Canaries {
  readonly #key: InstallationKey

  constructor(home: string) {
    this.#key = new InstallationKey(home, 'canary.key')
  }

  /** Rejects with HOME_UNUSABLE. */
  async of(sandbox: string, { policy }: Egress): Promise<Planted[]> {
    const wanted = policy.dlp?.canaries ?? []
    if (wanted.length === 0) return []
    const key = await this.#key.bytes()
    return wanted.map((canary) => {
      const value = canaryOf(key, sandbox, canary.name)
      const at = 'env' in canary ? { env: canary.env } : { file: canary.file.slice(2), text: canary.text.replace('{canary}', value) }
      return { name: canary.name, value, at }
    })
  }
}

function canaryOf(key: Buffer, sandbox: string, name: string): string {
  const bytes = createHmac('sha512', key).update(`${sandbox}\n${name}`).digest()
  return Array.from(bytes.subarray(0, VALUE_LENGTH), (byte) => ALPHABET[byte % ALPHABET.length]).join('')
}
