import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { Fault, type Language } from '@caisson/wire'
import { languageOfFile, namedLanguage } from '../arguments/language.ts'
import type { Source } from '../arguments/source.ts'

/** What to run, with everything already read from this machine. */
export type Job =
  | { kind: 'program'; name: string; stem: string; code: string; language: Language; args: string[]; companion: string | undefined }
  /** Code that did not come from a file: `-c` or `-`. */
  | { kind: 'snippet'; path: '-c' | '-'; stem: string; code: string; language: Language }
  | { kind: 'command'; command: [string, ...string[]] }

const MAX_CODE_BYTES = 8 * 1024 * 1024

/** Rejects with FILE_MISSING, FILE_DENIED, FILE_KIND, LANGUAGE_UNKNOWN or BAD_REQUEST. */
export async function jobOf(source: Source, language: string | undefined): Promise<Job> {
  switch (source.kind) {
    case 'command':
      if (language !== undefined) throw new Fault('BAD_REQUEST', '--lang says nothing about a command', { hint: 'Leave it out.' })
      return source
    case 'code':
      return { kind: 'snippet', path: '-c', stem: 'result', code: source.code, language: namedLanguage(language ?? 'python') }
    case 'stdin':
      return {
        kind: 'snippet',
        path: '-',
        stem: 'result',
        code: await text(process.stdin, 'standard input'),
        language: namedLanguage(language ?? 'python'),
      }
    case 'file':
      return await program(source.path, source.args, language)
  }
}

async function program(path: string, args: string[], language: string | undefined): Promise<Job> {
  const code = await readProgram(path)
  const name = basename(path)
  const extension = extname(name)
  const stem = basename(name, extension)
  const beside = join(path, '..', stem)
  const companion = extension !== '' && (await isFolder(beside)) ? beside : undefined
  return {
    kind: 'program',
    name,
    stem,
    code,
    language: language === undefined ? languageOfFile(path, code) : namedLanguage(language),
    args,
    companion,
  }
}

async function readProgram(path: string): Promise<string> {
  try {
    // Without O_NONBLOCK, opening a pipe would block until it has a writer.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    if (!(await file.stat()).isFile()) throw new Fault('FILE_KIND', `${path} is not a regular file`, { hint: 'Name a program.' })
    return await text(file.createReadStream({ autoClose: false }), path)
  } catch (cause) {
    throw fileFault(cause, path)
  }
}

/** Converts a file system error of this machine into an error of the catalogue. */
export function fileFault(cause: unknown, path: string): Fault {
  if (cause instanceof Fault) return cause
  const code = (cause as NodeJS.ErrnoException).code
  const named = path === '' ? '""' : path
  if (code === 'ENOENT' || code === 'ENOTDIR') return new Fault('FILE_MISSING', `${named} does not exist`, { cause })
  if (code === 'EACCES' || code === 'EPERM') return new Fault('FILE_DENIED', `${named} may not be used so by you`, { cause })
  return new Fault('FILE_DENIED', `${named} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (cause) {
    const fault = fileFault(cause, path)
    if (fault.code === 'FILE_MISSING') return false
    throw fault
  }
}

async function text(stream: AsyncIterable<Buffer | string>, what: string): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of stream) {
    const buffer = Buffer.from(piece)
    bytes += buffer.length
    if (bytes > MAX_CODE_BYTES) {
      throw new Fault('BAD_REQUEST', `${what} is more than ${MAX_CODE_BYTES / 1024 / 1024} MiB of code`, {
        hint: 'Bring data in with --in.',
      })
    }
    pieces.push(buffer)
  }
  return decoded(Buffer.concat(pieces), what)
}

/** Drops a byte order mark, which some editors add and interpreters treat as a character. Refuses bytes that are not text, since decoding would change them. */
function decoded(bytes: Uint8Array, what: string): string {
  try {
    const code = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    if (!code.includes('\0')) return code
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
  }
  throw new Fault('FILE_KIND', `${what} is not text in UTF-8`, {
    hint: 'Save it as UTF-8; a program that is compiled is run as a command: caisson run --in FILE -- ./FILE.',
  })
}
