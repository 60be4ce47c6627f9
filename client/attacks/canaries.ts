import { randomBytes } from 'node:crypto'
import { access, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Host folders that no sandbox may see. */
const FOLDERS = ['/root', '/home', '/var', '/opt', '/run', '/etc', '/srv', '/tmp', '/var/tmp', '/dev/shm']

/** World-readable host files: if they stay unread, the wall stopped it, not permission bits. */
export class Canaries implements AsyncDisposable {
  readonly token = randomBytes(12).toString('hex')
  readonly paths: readonly string[]

  constructor(folders: readonly string[] = FOLDERS) {
    this.paths = folders.map((folder) => join(folder, `canary-${this.token}`))
  }

  /** One of them, as an example. */
  get path(): string {
    const [path] = this.paths
    if (path === undefined) throw new Error('no canary')
    return path
  }

  /** Also restores what an attack without the wall has changed. */
  async plant(): Promise<void> {
    await Promise.all(this.paths.map((path) => writeFile(path, this.token, { mode: 0o644 })))
  }

  /** Throws if one was changed, or if another file appeared beside one. */
  async check(): Promise<void> {
    for (const path of this.paths) {
      const found = await readFile(path, 'utf8')
      if (found !== this.token) throw new Error(`${path} was changed to ${JSON.stringify(found.slice(0, 200))}`)
      if (((await stat(path)).mode & 0o777) !== 0o644) throw new Error(`${path} has other permissions now`)
      const company = await access(`${path}-new`).then(
        () => true,
        () => false,
      )
      if (company) throw new Error(`${path}-new was made`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.paths.flatMap((path) => [rm(path, { force: true }), rm(`${path}-new`, { force: true })]))
  }
}
