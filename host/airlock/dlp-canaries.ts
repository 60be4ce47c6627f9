import { createHmac } from 'node:crypto'
import type { Canary } from '@caisson/policy'
import type { Egress } from './egress.ts'
import { InstallationKey } from './installation-key.ts'

const VALUE_LENGTH = 40
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

export interface Planted extends Canary {
  /** Where it stands: a variable, or a file below the home of the user and what is in it. */
  readonly at: { readonly env: string } | { readonly file: string; readonly text: string }
}

/**
 * Values that are one sandbox's alone. They are made from a key of this state folder and the sandbox's id, so that a host which comes back knows
 * them, and nothing has to keep them.
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
