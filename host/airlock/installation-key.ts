import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'

const KEY_BYTES = 32

/** A key of this state folder, in a file that only its owner can read; created on first use. */
export class InstallationKey {
  readonly #home: string
  readonly #file: string
  #kept: Promise<Buffer> | undefined

  constructor(home: string, file: string) {
    this.#home = home
    this.#file = file
  }

  /** 32 bytes. Rejects with HOME_UNUSABLE. */
  async bytes(): Promise<Buffer> {
    this.#kept ??= this.#read()
    try {
      return await this.#kept
    } catch (cause) {
      this.#kept = undefined
      throw new Fault('HOME_UNUSABLE', `${this.#home}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  }

  /** Created once: if two processes do so, one wins. */
  async #read(): Promise<Buffer> {
    const path = join(this.#home, this.#file)
    await mkdir(this.#home, { recursive: true, mode: 0o700 })
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
    if (key.length !== KEY_BYTES) throw new Error(`${this.#file} is not ${KEY_BYTES} bytes long; remove it, and another one is made`)
    return key
  }
}
