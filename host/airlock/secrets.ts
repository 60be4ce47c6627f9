import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SecretName } from '@caisson/policy'
import { Fault } from '@caisson/wire'

/** Server responses are searched for secrets; a shorter one would match by chance. */
const MIN_CHARACTERS = 8
const MAX_CHARACTERS = 2048
const MAX_SECRETS = 1000
/** How long other hosts may take to see a change. */
const KEPT_MS = 1000

/**
 * The operator's secrets, one file each, readable only by its owner: whoever can read the state folder is the operator. The gate adds their values to requests;
 * they go nowhere else.
 */
export class Secrets {
  readonly #folder: string
  readonly #kept = new Map<string, { readonly value: Promise<string | undefined>; readonly untilMs: number }>()

  constructor(home: string) {
    this.#folder = join(home, 'secrets')
  }

  /** Sorted. */
  async names(): Promise<string[]> {
    try {
      return (await readdir(this.#folder)).filter((name) => SecretName.safeParse(name).success).sort()
    } catch (failure) {
      if (isMissing(failure)) return []
      throw unusable(this.#folder, failure)
    }
  }

  /** Undefined: no such secret. */
  async value(name: string): Promise<string | undefined> {
    const known = this.#kept.get(name)
    if (known !== undefined && known.untilMs > Date.now()) return await known.value
    if (this.#kept.size >= MAX_SECRETS) this.#kept.clear()
    const value = this.#read(name)
    this.#kept.set(name, { value, untilMs: Date.now() + KEPT_MS })
    return await value
  }

  /** Replaces an existing one. Rejects with BAD_REQUEST or HOME_UNUSABLE; no message contains the value. */
  async set(name: string, value: string): Promise<void> {
    const named = SecretName.safeParse(name)
    if (!named.success) throw new Fault('BAD_REQUEST', `${JSON.stringify(name)} ${named.error.issues[0]?.message ?? 'is no name'}`)
    if (!/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(value)) {
      throw new Fault('BAD_REQUEST', `the secret ${name} must be one line of visible ASCII characters`, { hint: 'Store another value.' })
    }
    if (value.length < MIN_CHARACTERS || value.length > MAX_CHARACTERS) {
      throw new Fault('BAD_REQUEST', `the secret ${name} must have ${MIN_CHARACTERS} to ${MAX_CHARACTERS} characters`, {
        hint: 'Store another value.',
      })
    }
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      await chmod(this.#folder, 0o700)
      const known = await this.names()
      if (!known.includes(name) && known.length >= MAX_SECRETS) throw new Fault('CONFLICT', `there are ${MAX_SECRETS} secrets already`)
      const fresh = join(this.#folder, `.${randomBytes(8).toString('hex')}`)
      await writeFile(fresh, value, { mode: 0o600 })
      await rename(fresh, join(this.#folder, name))
    } catch (failure) {
      throw failure instanceof Fault ? failure : unusable(this.#folder, failure)
    } finally {
      this.#kept.delete(name)
    }
  }

  /** From now on, requests that need it are refused. Rejects with NOT_FOUND if there is none. */
  async remove(name: string): Promise<void> {
    this.#kept.delete(name)
    if (!SecretName.safeParse(name).success) throw new Fault('NOT_FOUND', `no secret ${JSON.stringify(name)}`)
    try {
      await rm(join(this.#folder, name))
    } catch (failure) {
      throw isMissing(failure) ? new Fault('NOT_FOUND', `no secret ${name}`, { cause: failure }) : unusable(this.#folder, failure)
    }
  }

  async #read(name: string): Promise<string | undefined> {
    try {
      return await readFile(join(this.#folder, name), 'utf8')
    } catch (failure) {
      if (isMissing(failure)) return undefined
      throw unusable(this.#folder, failure)
    }
  }
}

function isMissing(failure: unknown): boolean {
  return failure instanceof Error && 'code' in failure && failure.code === 'ENOENT'
}

function unusable(folder: string, cause: unknown): Fault {
  return new Fault('HOME_UNUSABLE', `${folder}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
}
