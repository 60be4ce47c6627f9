import { createHmac, randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Canary } from '@caisson/policy'
import { Fault } from '@caisson/wire'
import type { Egress } from './egress.ts'

const KEY_BYTES = 32
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
  readonly #home: string
  #key: Promise<Buffer> | undefined

  constructor(home: string) {
    this.#home = home
  }

  /** Rejects with HOME_UNUSABLE. */
  async of(sandbox: string, { policy }: Egress): Promise<Planted[]> {
    const wanted = policy.dlp?.canaries ?? []
    if (wanted.length === 0) return []
    const key = await this.#kept()
    return wanted.map((canary) => {
      const value = canaryOf(key, sandbox, canary.name)
      const at = 'env' in canary ? { env: canary.env } : { file: canary.file.slice(2), text: canary.text.replace('{canary}', value) }
      return { name: canary.name, value, at }
    })
  }

  async #kept(): Promise<Buffer> {
    this.#key ??= keyOf(this.#home)
    try {
      return await this.#key
    } catch (cause) {
      this.#key = undefined
      throw new Fault('HOME_UNUSABLE', `${this.#home}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  }
}

/** Made once: of two processes that make it, one is first. */
async function keyOf(home: string): Promise<Buffer> {
  const path = join(home, 'canary.key')
  await mkdir(home, { recursive: true, mode: 0o700 })
  const fresh = `${path}.${randomBytes(8).toString('hex')}`
  try {
    await writeFile(fresh, randomBytes(KEY_BYTES), { mode: 0o600 })
    await link(fresh, path)
  } catch (failure) {
    if (!(failure instanceof Error && 'code' in failure && failure.code === 'EEXIST')) throw failure
  } finally {
    await rm(fresh, { force: true })
  }
  const key = await readFile(path)
  if (key.length !== KEY_BYTES) throw new Error(`canary.key is not ${KEY_BYTES} bytes long; remove it, and another one is made`)
  return key
}

function canaryOf(key: Buffer, sandbox: string, name: string): string {
  const bytes = createHmac('sha512', key).update(`${sandbox}\n${name}`).digest()
  return Array.from(bytes.subarray(0, VALUE_LENGTH), (byte) => ALPHABET[byte % ALPHABET.length]).join('')
}
