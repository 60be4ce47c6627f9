import { Fault, type FileChange, type FileEntry, type FileOptions, type Files, type Held } from '@caisson/wire'
import { present } from './present.ts'
import { signalOr } from './signals.ts'

export type { FileChange, FileEntry }

interface Options extends FileOptions {
  signal?: AbortSignal
}
export interface ReadOptions extends Options {
  /** Bytes to skip. */
  offset?: number
  /** Maximum number of bytes to read. */
  length?: number
}
export interface WriteOptions extends Options {
  /** Permission bits of a new file. */
  mode?: number
  append?: boolean
  /** Extended attributes, without the `user.` prefix. */
  attributes?: Record<string, string>
}
export type Content = string | Uint8Array | AsyncIterable<Uint8Array>

/** The files of one sandbox, always accessed through the agent inside it. Paths are absolute, or relative to the user's home. */
export class SandboxFiles {
  readonly #held: Held

  constructor(held: Held) {
    this.#held = held
  }

  read(path: string, options?: ReadOptions & { format?: 'text' }): Promise<string>
  read(path: string, options: ReadOptions & { format: 'bytes' }): Promise<Uint8Array>
  read(path: string, options: ReadOptions & { format: 'stream' }): Promise<AsyncIterable<Uint8Array>>
  async read(
    path: string,
    options: ReadOptions & { format?: 'text' | 'bytes' | 'stream' } = {},
  ): Promise<string | Uint8Array | AsyncIterable<Uint8Array>> {
    const { signal, format = 'text', ...rest } = options
    const stream = this.#files.read(path, rest, signalOr(signal))
    if (format === 'stream') return stream
    const pieces: Uint8Array[] = []
    for await (const piece of stream) pieces.push(piece)
    const bytes = Buffer.concat(pieces)
    return format === 'bytes' ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new TextDecoder().decode(bytes)
  }

  /** Creates, replaces or appends to a file; missing parent folders are created. */
  async write(path: string, content: Content, options: WriteOptions = {}): Promise<FileEntry> {
    const { signal, ...rest } = options
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
    return await this.#files.write(path, bytes, present(rest), signalOr(signal))
  }

  /** `depth` 1 (the default) lists the folder itself, without the contents of its subfolders. */
  async list(path: string, options: Options & { depth?: number } = {}): Promise<FileEntry[]> {
    const { signal, ...rest } = options
    return await this.#files.list(path, rest, signalOr(signal))
  }

  /** With `follow`, a symlink stands for its target; without it (the default), for itself. */
  async stat(path: string, options: Options & { follow?: boolean } = {}): Promise<FileEntry> {
    const { signal, ...rest } = options
    return await this.#files.stat(path, rest, signalOr(signal))
  }

  async exists(path: string, options: Options = {}): Promise<boolean> {
    try {
      await this.stat(path, options)
      return true
    } catch (error) {
      if (error instanceof Fault && error.code === 'FILE_MISSING') return false
      throw error
    }
  }

  /** Creates the folder and its parents; an existing one is not an error. */
  async makeDir(path: string, options: Options = {}): Promise<FileEntry> {
    const { signal, ...rest } = options
    try {
      return await this.#files.makeDir(path, rest, signalOr(signal))
    } catch (error) {
      if (!(error instanceof Fault && error.code === 'FILE_EXISTS')) throw error
      const found = await this.stat(path, { ...options, follow: true })
      if (found.kind !== 'directory') throw error
      return found
    }
  }

  async move(from: string, to: string, options: Options = {}): Promise<FileEntry> {
    const { signal, ...rest } = options
    return await this.#files.move(from, to, rest, signalOr(signal))
  }

  /** Removes a file, a symlink, or a folder with its contents. */
  async remove(path: string, options: Options = {}): Promise<void> {
    const { signal, ...rest } = options
    await this.#files.remove(path, rest, signalOr(signal))
  }

  /** Changes from now on; ends when the loop is left or `signal` aborts. */
  watch(path: string, options: Options & { recursive?: boolean; includeEntry?: boolean } = {}): AsyncIterable<FileChange> {
    const { signal, ...rest } = options
    return this.#files.watch(path, rest, signalOr(signal))
  }

  async setAttributes(path: string, attributes: Record<string, string>, options: Options = {}): Promise<FileEntry> {
    const { signal, ...rest } = options
    return await this.#files.setAttributes(path, attributes, rest, signalOr(signal))
  }

  get #files(): Files {
    return this.#held.files
  }
}
