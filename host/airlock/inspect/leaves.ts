import { createSecureContext, type SecureContext } from 'node:tls'
import type { Identity } from '../../authority/identity.ts'

const MAX_KEPT = 512
const HOUR_MS = 3_600_000
/** Half of a certificate's lifetime. */
const KEPT_MS = 12 * HOUR_MS

type Sign = (place: { readonly name: string } | { readonly address: string }) => Promise<Identity>

interface Kept {
  readonly context: Promise<SecureContext>
  readonly untilMs: number
}

/** A certificate for each inspected name, issued by the authority that only sandboxes trust. */
export class Leaves {
  readonly #authority: () => Promise<Identity>
  readonly #kept = new Map<string, Kept>()
  #sign: Promise<Sign> | undefined

  constructor(authority: () => Promise<Identity>) {
    this.#authority = authority
  }

  /** Rejects with HOME_UNUSABLE. */
  contextFor(name: string | null, address: string): Promise<SecureContext> {
    const key = name ?? address
    const known = this.#kept.get(key)
    this.#kept.delete(key)
    const kept =
      known !== undefined && known.untilMs > Date.now()
        ? known
        : { context: this.#make(name === null ? { address } : { name }), untilMs: Date.now() + KEPT_MS }
    this.#kept.set(key, kept)
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest)
    kept.context.catch(() => this.#kept.delete(key))
    return kept.context
  }

  async #make(place: Parameters<Sign>[0]): Promise<SecureContext> {
    this.#sign ??= this.#signer()
    try {
      return createSecureContext(await (await this.#sign)(place))
    } catch (failure) {
      this.#sign = undefined
      throw failure
    }
  }

  async #signer(): Promise<Sign> {
    const { leafSigner } = await import('../../authority/certificates.ts')
    return await leafSigner(await this.#authority())
  }
}
