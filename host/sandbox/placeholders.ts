import { closeSync, fstatSync, lchownSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { rmdir } from 'node:fs/promises'
import { basename } from 'node:path'
import type { FolderChoice } from './profile.ts'
import { nameIn, openFolder } from './shields.ts'

/** Failures of rmdir that mean: somebody has put something in, has removed it already, or it cannot be removed from here. */
const STAYS: ReadonlySet<string> = new Set(['ENOTEMPTY', 'ENOENT', 'ENOTDIR', 'EBUSY', 'EACCES', 'EPERM'])

/**
 * A mount needs a mount point. Where the caller's folder has no `.git`, an empty one is made and mounted read-only, so that the guest cannot create one with
 * hooks that the host would run (compare CVE-2026-25725). Programs take an empty `.git` for none.
 */
export class Placeholders implements AsyncDisposable {
  readonly #source: string
  readonly #names: readonly string[]

  private constructor(source: string, names: readonly string[]) {
    this.#source = source
    this.#names = names
  }

  /** Empty folders that a killed sandbox left count as made now. */
  static make(source: string, { mode, fixed }: FolderChoice): Placeholders {
    const wanted = fixed.filter((pattern) => pattern.indexOf('/') === pattern.length - 1).map((pattern) => pattern.slice(0, -1))
    if (mode === 'ro') return new Placeholders(source, [])
    const folder = openFolder(source)
    try {
      return new Placeholders(
        source,
        wanted.filter((name) => isOurs(folder, name)),
      )
    } finally {
      closeSync(folder)
    }
  }

  /**
   * Removes those that are still empty. One that is a mount point of another sandbox stays, because its mount would vanish with it. All are removed together:
   * the kernel takes milliseconds for each one that was a mount point a moment ago.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#names.length === 0 || isMounted(this.#names.map((name) => `/${basename(this.#source)}/${name}`))) return
    for (const removed of await Promise.allSettled(this.#names.map((name) => rmdir(`${this.#source}/${name}`)))) {
      if (removed.status === 'rejected' && !STAYS.has((removed.reason as NodeJS.ErrnoException).code ?? '')) throw removed.reason
    }
  }
}

function isOurs(folder: number, name: string): boolean {
  const path = nameIn(folder, name)
  try {
    mkdirSync(path, { mode: 0o755 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return isEmptyFolder(path)
    // Where the caller cannot write, neither can the guest.
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return false
    throw error
  }
  const { uid, gid } = fstatSync(folder)
  if (process.getuid?.() === 0) lchownSync(path, uid, gid)
  return true
}

function isEmptyFolder(path: string): boolean {
  try {
    const folder = openFolder(path)
    try {
      return readdirSync(nameIn(folder, '.')).length === 0
    } finally {
      closeSync(folder)
    }
  } catch {
    // It is a file or a link, or belongs to somebody else.
    return false
  }
}

/** Whether any mount namespace that this process can read has a mount whose root ends so. Synchronous: procfs answers at once, and a caller waits. */
function isMounted(ends: readonly string[]): boolean {
  const told = ends.map((end) => `${asMountsAreTold(end)} `)
  const seen = new Set<string>()
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const namespace = orGone(() => readlinkSync(`/proc/${pid}/ns/mnt`))
    if (namespace === undefined || seen.has(namespace)) continue
    seen.add(namespace)
    const mounts = orGone(() => readFileSync(`/proc/${pid}/mountinfo`, 'utf8')) ?? ''
    const found = told.filter((end) => mounts.includes(end))
    if (found.length === 0) continue
    if (mounts.split('\n').some((line) => found.some((end) => `${line.split(' ')[3] ?? ''} `.endsWith(end)))) return true
  }
  return false
}

/** mountinfo writes field separators in octal (proc_pid_mountinfo(5)). */
function asMountsAreTold(path: string): string {
  return path.replace(/[ \t\n\\]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`)
}

/** Ignores processes that have ended or belong to others. */
function orGone(look: () => string): string | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}
