import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { access, type FileHandle, mkdir, open, rename, unlink } from 'node:fs/promises'
import { Fault } from '@caisson/wire'
import { makeFolders } from '../folders.ts'
import { fileFault } from './job.ts'

/** Limits on what one run may copy out: the number of files and their total size. */
const MAX_FILES_OUT = 10_000
const MAX_BYTES_OUT = 4 * 1024 * 1024 * 1024
const MAX_NAME_BYTES = 255

/**
 * Turns one path component from inside the sandbox into a safe name for this machine; undefined: refused. Hidden names are refused, because tools on this
 * machine trust them (`.git/hooks`, `.envrc`).
 */
export function landingName(name: string): string | undefined {
  const clean = name.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}/\\]/gu, '_')
  if (clean === '' || clean.startsWith('.') || Buffer.byteLength(clean) > MAX_NAME_BYTES) return undefined
  return clean
}

/**
 * A folder of this machine that receives files from inside. Every step starts from an open directory and follows no symlink, because a sandbox that has the
 * folder mounted can swap names meanwhile.
 */
export class Landing implements AsyncDisposable {
  readonly path: string
  readonly #root: FileHandle
  #files = 0
  #bytes = 0

  private constructor(path: string, root: FileHandle) {
    this.path = path
    this.#root = root
  }

  /** Creates the folder if it is missing. Rejects with FILE_DENIED or FILE_KIND. */
  static async open(path: string): Promise<Landing> {
    try {
      await makeFolders(path, 0o777)
      return new Landing(path, await open(path, constants.O_RDONLY | constants.O_DIRECTORY))
    } catch (cause) {
      throw fileFault(cause, path)
    }
  }

  /** Writes a file under a name that the caller chose, hidden or not. */
  async putNamed(name: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    if (name === '' || name === '.' || name === '..' || name.includes('/'))
      throw new Fault('INTERNAL', `${JSON.stringify(name)} is no name`)
    await this.#counted([name], content)
  }

  /** `names` must come from landingName. An existing file is replaced atomically once the new one is complete. */
  async put(names: readonly string[], content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    if (names.length === 0 || names.some((part) => landingName(part) !== part)) {
      throw new Fault('INTERNAL', `${JSON.stringify(names)} may not land here`)
    }
    await this.#counted(names, content)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#root.close()
  }

  async #counted(names: readonly string[], content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    if (++this.#files > MAX_FILES_OUT) throw new Fault('LIMIT_HIT', `more than ${MAX_FILES_OUT} files came out`, { hint: 'Pack them.' })
    try {
      await this.#put(names.slice(0, -1), names.at(-1) ?? '', content)
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code
      if (code === 'EISDIR' || code === 'ELOOP' || code === 'ENOTDIR' || code === 'ENOTEMPTY') {
        throw new Fault('FILE_EXISTS', `${[this.path, ...names].join('/')} is in the way`, { cause })
      }
      throw fileFault(cause, [this.path, ...names].join('/'))
    }
  }

  async #put(folders: readonly string[], name: string, content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    const opened: FileHandle[] = []
    try {
      let folder = this.#root
      for (const part of folders) {
        folder = await descend(folder, part)
        opened.push(folder)
      }
      const part = below(folder, `.caisson-${randomBytes(8).toString('hex')}.part`)
      const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
      const file = await open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644)
      try {
        for await (const piece of content) await this.#write(file, piece)
        await rename(part, below(folder, name))
      } catch (error) {
        await unlink(part)
        throw error
      } finally {
        await file.close()
      }
    } finally {
      for (const folder of opened) await folder.close()
    }
  }

  async #write(file: FileHandle, piece: Uint8Array): Promise<void> {
    this.#bytes += piece.length
    if (this.#bytes > MAX_BYTES_OUT) {
      throw new Fault('LIMIT_HIT', `more than ${MAX_BYTES_OUT / 2 ** 30} GiB came out`, { hint: 'Write less to /home/user/out.' })
    }
    await file.appendFile(piece)
  }
}

/** Creates the named folder before the run, so that the results of a long run are not lost at the end. Rejects as Landing.open. */
export async function checkLanding(path: string): Promise<void> {
  await using landing = await Landing.open(path)
  await access(landing.path, constants.W_OK).catch((cause: unknown) => {
    throw fileFault(cause, path)
  })
}

/** openat(2), which Node lacks: a path through the descriptor cannot be redirected. */
function below(folder: FileHandle, name: string): string {
  return `/proc/self/fd/${folder.fd}/${name}`
}

async function descend(folder: FileHandle, name: string): Promise<FileHandle> {
  const path = below(folder, name)
  await mkdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  return await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
}
