import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { Fault, type FileEntry } from '@caisson/wire'
import type { Visit } from '../call.ts'
import { checkedPath, checkedUser, sayUser, wholePath } from './asked.ts'
import { contentDisposition, contentType } from './content.ts'
import { rangeOf, type Span } from './range.ts'
import { sentOff, written } from './written.ts'

/** Files up to this size are read whole before the response begins. */
const SHORT_BYTES = 256 * 1024

/** GET /files. */
export async function download(visit: Visit): Promise<void> {
  const { query, entered, signal } = visit
  const user = checkedUser(query.get('username') ?? '')
  const path = checkedPath(query.get('path') ?? '', 'path')
  try {
    const entry = await entered.live.files.stat(path, { user, follow: true }, signal)
    if (entry.kind === 'directory') throw new Fault('FILE_KIND', `path '${entry.path}' is a directory`)
    await send(visit, { path, user, entry })
  } catch (failure) {
    if (failure instanceof Fault && failure.code === 'FILE_MISSING') {
      throw new Fault('FILE_MISSING', `path '${wholePath(path, user, visit)}' does not exist`, { cause: failure })
    }
    throw sayUser(failure, user)
  }
}

interface Wanted {
  readonly path: string
  readonly user: string
  readonly entry: FileEntry
}

async function send(visit: Visit, wanted: Wanted): Promise<void> {
  const { request, reply } = visit
  const { entry } = wanted
  const { size } = entry
  const modified = new Date(entry.modifiedMs).toUTCString()
  const { headers } = request
  const about = headersOf(entry, modified)
  const isFresh = headers['if-range'] === undefined || headers['if-range'] === modified
  const range = isFresh ? rangeOf(headers.range, size) : undefined
  if (range === 'beyond') {
    reply.writeHead(416, { ...about, 'content-range': `bytes */${size}`, 'content-length': 0 }).end()
  } else if (range !== undefined) {
    const content = await begun(lent(visit, wanted, range))
    const last = range.offset + range.length - 1
    reply.writeHead(206, { ...about, 'content-length': range.length, 'content-range': `bytes ${range.offset}-${last}/${size}` })
    await copy(visit, content, range.length)
  } else if (headers['if-modified-since'] === modified) {
    reply.writeHead(304, about).end()
  } else if (size === 0) {
    // E2B's clients recognise an empty file by its Content-Length, which compression would change.
    await copyUncounted(visit, await begun(read(visit, wanted)), about)
  } else if (wantsGzip(headers['accept-encoding'])) {
    const content = await begun(read(visit, wanted))
    reply.writeHead(200, { ...about, 'content-encoding': 'gzip' })
    await pipeline(content, createGzip({ level: 1 }), reply)
  } else if (size <= SHORT_BYTES) {
    await copyShort(visit, await begun(read(visit, wanted)), about)
  } else {
    const content = await begun(lent(visit, wanted, { offset: 0, length: size }))
    reply.writeHead(200, { ...about, 'content-length': size })
    await copy(visit, content, size)
  }
}

function headersOf(entry: FileEntry, modified: string): Record<string, string> {
  return {
    'content-type': contentType(entry.name),
    'content-disposition': contentDisposition(entry.name),
    'last-modified': modified,
    'accept-ranges': 'bytes',
    vary: 'Accept-Encoding',
    // A file may be a page opened at the same address where API keys are shown. It gets an opaque origin, without scripts.
    'content-security-policy': 'sandbox',
    'x-content-type-options': 'nosniff',
  }
}

/**
 * Only for clients that accept nothing else, as E2B's do on request. HTTP libraries offer gzip with every request, but compressing what is read once costs more
 * than it saves.
 */
function wantsGzip(accepted: string | undefined): boolean {
  return /^\s*gzip\s*$/i.test(accepted ?? '')
}

function read(visit: Visit, { path, user }: Wanted): AsyncIterable<Uint8Array> {
  return visit.entered.live.files.read(path, { user }, visit.signal)
}

/** Each piece must have been sent before the next one is asked for. */
function lent(visit: Visit, { path, user }: Wanted, span: Span): AsyncIterable<Uint8Array> {
  return visit.entered.live.files.read(path, { user, ...span, lent: true }, visit.signal)
}

/** Rejects if the file cannot be read at all: the response has not begun, so it can still report the error. */
async function begun(content: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const pieces = content[Symbol.asyncIterator]()
  const first = await pieces.next()
  return (async function* () {
    if (first.done === true) return
    yield first.value
    yield* { [Symbol.asyncIterator]: () => pieces }
  })()
}

/** The pieces are lent. */
async function copy(visit: Visit, content: AsyncIterable<Uint8Array>, length: number): Promise<void> {
  const { reply } = visit
  let sent = 0
  for await (const piece of content) {
    sent += piece.length
    // End with the last byte: the client may then pause the sandbox over this very connection.
    if (sent >= length) return void reply.end(piece)
    await sentOff(reply, piece)
    if (reply.destroyed) return
  }
  // The file has shrunk meanwhile. Break off, so that the client does not wait for the rest.
  reply.destroy()
}

/** Sends as much as was read. Programs replace small files by renaming, which may happen after the size was asked for. */
async function copyShort(visit: Visit, content: AsyncIterable<Uint8Array>, about: Record<string, string>): Promise<void> {
  const { reply } = visit
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of content) {
    length += piece.length
    pieces.push(piece)
    if (length <= SHORT_BYTES) continue
    if (!reply.headersSent) reply.writeHead(200, about)
    await written(reply, Buffer.concat(pieces.splice(0)))
    if (reply.destroyed) return
  }
  const rest = Buffer.concat(pieces)
  if (!reply.headersSent) reply.writeHead(200, { ...about, 'content-length': rest.length })
  reply.end(rest)
}

/** For files of size 0 that may still have content, such as those in /proc. */
async function copyUncounted(visit: Visit, content: AsyncIterable<Uint8Array>, about: Record<string, string>): Promise<void> {
  const { reply } = visit
  for await (const piece of content) {
    if (!reply.headersSent) reply.writeHead(200, about)
    await written(reply, piece)
    if (reply.destroyed) return
  }
  if (!reply.headersSent) reply.writeHead(200, { ...about, 'content-length': 0 })
  reply.end()
}
