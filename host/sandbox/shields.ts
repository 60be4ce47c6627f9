import {
  type BigIntStats,
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { Fault, type Shield } from '@caisson/wire'
import { refuseAborted } from '../lifetimes.ts'
import type { FolderChoice } from './profile.ts'
import { withoutCredentials } from './redaction.ts'
import { ShieldPatterns } from './shield-patterns.ts'

/** A folder as it was when it was examined. */
export interface Look {
  readonly inode: string
  /** Mounts that hide a path, make it read-only, or pin it against renaming. Parents before children. */
  readonly shields: readonly Shield[]
}

const MAX_ENTRIES = 200_000
const MAX_DEPTH = 64
/** Each shield is a mount of the sandbox. */
const MAX_SHIELDS = 900
/** Total length of all shields of a folder, in the form that the keeper reads. */
const MAX_CHARACTERS = 512 * 1024
const MAX_READ_BYTES = 64 * 1024
/** Replaces bytes of a name that are not UTF-8. */
const REPLACED = '\uFFFD'
/** Folders examined before yielding to the event loop. */
const FOLDERS_A_TURN = 64

type Tests = Record<'hidden' | 'shown' | 'redacted' | 'fixed' | 'skipped', ShieldPatterns>

/**
 * Finds what a profile hides or makes read-only in a folder. A guest of another sandbox may be changing the folder meanwhile. So nothing is opened by its whole
 * path and no link is followed: what is examined is the folder that was opened. The keeper compares what it mounts with what was seen here
 * (native/keeper/src/shields.rs). A folder that cannot be searched completely is not shown at all: MOUNT_UNREADABLE.
 */
export async function lookThrough(source: string, choice: FolderChoice, signal: AbortSignal): Promise<Look> {
  const root = openFolder(source)
  try {
    // If a folder on the path has become a link, this is another folder.
    if (readlinkSync(`/proc/self/fd/${root}`) !== source)
      throw new Fault('MOUNT_UNREADABLE', `${source} was moved while it was being looked at`)
    const looking = new Looking(source, choice)
    await looking.folder(root, [], false, signal)
    return { inode: inodeOf(root), shields: looking.shields() }
  } finally {
    closeSync(root)
  }
}

/** Opens the folder itself: `/proc/self/fd/N/name` is a name in it, wherever the folder is moved. */
export function openFolder(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
}

export const nameIn = (folder: number, name: string): string => `/proc/self/fd/${folder}/${name}`

class Looking {
  readonly #source: string
  readonly #tests: Tests
  readonly #found = new Map<string, Shield>()
  /** Inode numbers of the parent folders, by path. */
  readonly #inodes = new Map<string, string>()
  #entries = 0
  #folders = 0

  constructor(source: string, choice: FolderChoice) {
    this.#source = source
    const { hidden, shown, redacted, fixed, skipped } = choice
    this.#tests = {
      hidden: new ShieldPatterns(hidden),
      shown: new ShieldPatterns(shown),
      redacted: new ShieldPatterns(redacted),
      fixed: new ShieldPatterns(fixed),
      skipped: new ShieldPatterns(skipped),
    }
  }

  async folder(folder: number, names: readonly string[], isFixed: boolean, signal: AbortSignal): Promise<void> {
    if (names.length > MAX_DEPTH) throw this.#tooMuch(`has folders ${MAX_DEPTH} deep`)
    this.#folders += 1
    if (this.#folders % FOLDERS_A_TURN === 0) {
      await setImmediate()
      refuseAborted(signal)
    }
    const entries = readdirSync(nameIn(folder, '.'), { withFileTypes: true })
    this.#entries += entries.length
    if (this.#entries > MAX_ENTRIES) throw this.#tooMuch(`has more than ${MAX_ENTRIES} entries`)
    for (const entry of entries) {
      const path = [...names, entry.name]
      if (isUnspeakable(folder, entry.name)) this.#unspeakable(path, entry)
      else if (entry.isSymbolicLink()) this.#link(folder, path, isFixed)
      else if (entry.isDirectory()) await this.#subfolder(folder, path, isFixed, signal)
      else this.#file(folder, path, isFixed, entry.isFile())
    }
  }

  /** An entry whose name is not valid UTF-8 can be neither opened nor named in a plan. Either it may be shown as it is, or the folder is refused. */
  #unspeakable(names: readonly string[], entry: Dirent): void {
    const { hidden, shown, redacted, fixed, skipped } = this.#tests
    const isShown = entry.isDirectory() ? skipped.match(names) : entry.isFile() || entry.isSymbolicLink()
    if (isShown && (!hidden.match(names) || shown.match(names)) && !redacted.match(names) && !fixed.match(names)) return
    throw new Fault(
      'MOUNT_UNREADABLE',
      `${this.#source}: the name of ${names.join('/')} is no UTF-8, so that nothing of it can be hidden`,
      {
        hint: 'Rename it, or name it in `folder.skipped` of a profile of your own, with `*` for what is not shown of its name.',
      },
    )
  }

  async #subfolder(folder: number, names: string[], wasFixed: boolean, signal: AbortSignal): Promise<void> {
    const { hidden, shown, fixed, skipped } = this.#tests
    const name = names.at(-1) ?? ''
    if (hidden.match(names) && !shown.match(names)) return this.#put(names, { as: 'covered', inode: inodeAt(folder, name) })
    const isFixed = wasFixed || fixed.match(names)
    if (isFixed && !wasFixed) this.#put(names, { as: 'fixed', inode: inodeAt(folder, name) })
    if (skipped.match(names)) return
    let open: number
    try {
      open = openFolder(nameIn(folder, name))
    } catch (error) {
      // It is gone, or this user may not read it, so neither may the guest.
      if (['EACCES', 'ENOENT', 'ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '')) return
      throw error
    }
    try {
      this.#inodes.set(names.join('/'), inodeOf(open))
      await this.folder(open, names, isFixed, signal)
    } finally {
      closeSync(open)
    }
  }

  #file(folder: number, names: string[], isFixed: boolean, isPlain: boolean): void {
    const { hidden, shown, redacted, fixed } = this.#tests
    const name = names.at(-1) ?? ''
    // A socket or pipe leads to a process of the host.
    const isHidden = !isPlain || (hidden.match(names) && !shown.match(names))
    if (isHidden) return this.#put(names, { as: 'covered', inode: inodeAt(folder, name) })
    if (redacted.match(names)) {
      const content = readable(nameIn(folder, name))
      if (content !== null) return this.#put(names, { as: 'covered', inode: inodeAt(folder, name), content })
    }
    if (!isFixed && fixed.match(names)) this.#put(names, { as: 'fixed', inode: inodeAt(folder, name) })
  }

  /** A link cannot be covered by a mount; its target inside the folder can be hidden. */
  #link(folder: number, names: string[], isFixed: boolean): void {
    const { hidden, shown, fixed } = this.#tests
    if (hidden.match(names) && !shown.match(names)) this.#target(folder, names.at(-1) ?? '')
    else if (!isFixed && fixed.match(names)) {
      const message = `${this.#source}/${names.join('/')} is to be read-only for the sandbox, and a link cannot be held`
      throw new Fault('MOUNT_UNREADABLE', message, {
        hint: 'Put a real file or folder in its place, or take its name out of `folder.fixed` in a profile of your own.',
      })
    }
  }

  #target(folder: number, name: string): void {
    let target: string
    try {
      target = realpathSync(nameIn(folder, name))
    } catch {
      // A dangling link.
      return
    }
    const below = target.startsWith(`${this.#source}/`) ? target.slice(this.#source.length + 1).split('/') : []
    if (below.length === 0) return
    for (let depth = 1; depth < below.length; depth += 1) {
      const parent = below.slice(0, depth).join('/')
      this.#inodes.set(parent, inodeOfPath(`${this.#source}/${parent}`))
    }
    this.#put(below, { as: 'covered', inode: inodeOfPath(target) })
  }

  #put(names: readonly string[], shield: Omit<Shield, 'path'>): void {
    const path = names.join('/')
    this.#found.set(path, { path, ...shield })
  }

  /** All shields, and the parent folders of each, which must not be renamed. Inside a read-only or hidden folder nothing can be. */
  shields(): Shield[] {
    const all = new Map(this.#found)
    for (const path of this.#found.keys()) {
      const names = path.split('/')
      for (let depth = 1; depth < names.length; depth += 1) {
        const parent = names.slice(0, depth).join('/')
        const there = all.get(parent)
        if (there?.as === 'covered') all.delete(path)
        if (there !== undefined && there.as !== 'pinned') break
        const inode = this.#inodes.get(parent)
        if (inode === undefined) throw new Fault('INTERNAL', `the way to ${path} is not known`)
        all.set(parent, { path: parent, inode, as: 'pinned' })
      }
    }
    const shields = [...all.values()].sort((one, other) => (one.path < other.path ? -1 : 1))
    if (shields.length > MAX_SHIELDS || JSON.stringify(shields).length > MAX_CHARACTERS) {
      throw this.#tooMuch(`has ${shields.length} places to be hidden or held, more than a sandbox can have`)
    }
    return shields
  }

  #tooMuch(what: string): Fault {
    return new Fault('MOUNT_UNREADABLE', `${this.#source} ${what}: secret files in it cannot all be found`, {
      hint: 'Start in a folder below it, or name what need not be looked into in `folder.skipped` of a profile of your own.',
    })
  }
}

const text = ({ dev, ino }: BigIntStats): string => `${dev}:${ino}`
export const inodeOf = (open: number): string => text(fstatSync(open, { bigint: true }))
const isUnspeakable = (folder: number, name: string): boolean =>
  name.includes(REPLACED) && lstatSync(nameIn(folder, name), { throwIfNoEntry: false }) === undefined
const inodeAt = (folder: number, name: string): string => text(lstatSync(nameIn(folder, name), { bigint: true }))
const inodeOfPath = (path: string): string => text(statSync(path, { bigint: true }))

/** The redacted text to show instead of a file; null: show all of it. A file that is too long is shown empty. */
function readable(path: string): string | null {
  let file: number
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch {
    return ''
  }
  try {
    const bytes = Buffer.alloc(MAX_READ_BYTES + 1)
    const length = readSync(file, bytes)
    return length > MAX_READ_BYTES ? '' : withoutCredentials(bytes.toString('utf8', 0, length))
  } finally {
    closeSync(file)
  }
}
