import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { Fault, type FileEntry } from '@caisson/wire'
import type { Visit } from '../call.ts'
import { sendJson } from '../call.ts'
import { checkedPath, checkedUser, mayLift, sayUser, wholePath } from './asked.ts'
import { attributesOf } from './entry-info.ts'
import { bodyOf, isCaissonClient } from './failures.ts'
import { metadataHeaders } from './metadata.ts'
import { readParts } from './multipart.ts'

/** One file being uploaded. */
export interface Incoming {
  readonly path: string
  readonly content: AsyncIterable<Uint8Array> | Uint8Array
}

/** POST /files. Lists the files written, in order of arrival, in E2B's format only. */
export async function upload(visit: Visit): Promise<void> {
  const { request, query } = visit
  const user = checkedUser(query.get('username') ?? '')
  const metadata = metadataHeaders(request.headers)
  const [type = ''] = (request.headers['content-type'] ?? '').toLowerCase().split(';')
  const write = writer(visit, user, metadata)
  const body = unpacked(visit)
  try {
    const entries: FileEntry[] = []
    if (type.trim() === 'application/octet-stream') {
      const path = query.get('path')
      if (path === null) throw new Fault('BAD_REQUEST', 'path: missing; it names the file that the body is written to')
      entries.push(await write({ path, content: body }))
    } else if (type.trim() === 'multipart/form-data') {
      for await (const part of readParts(body, request.headers, query.get('path'))) entries.push(await write(part))
    } else {
      throw new Fault('BAD_REQUEST', `content-type: ${JSON.stringify(type)} is neither multipart/form-data nor application/octet-stream`)
    }
    const told = Object.keys(metadata).length === 0 ? {} : { metadata }
    sendJson(
      visit.reply,
      200,
      entries.map(({ path, name }) => ({ path, name, type: 'file', ...told })),
    )
  } catch (failure) {
    throw sayUser(unpackFailure(failure) ?? failure, user)
  }
}

/** Refuses a second file of the same name. */
function writer(visit: Visit, user: string, metadata: Record<string, string>) {
  const { live } = visit.entered
  const options = { user, attributes: attributesOf(metadata), own: true, lift: mayLift(visit), stays: true, ...ownOptions(visit) }
  const places = new Set<string>()
  return async ({ path, content }: Incoming): Promise<FileEntry> => {
    const place = wholePath(checkedPath(path, 'path'), user, visit)
    if (path === '' || places.has(place)) {
      throw new Fault('BAD_REQUEST', path === '' ? 'path: missing' : `path '${place}' is there twice; only the first has been written`)
    }
    places.add(place)
    return await live.files.write(path, content, options, visit.signal)
  }
}

/** Options that only Caisson's own clients use. */
function ownOptions(visit: Visit): { mode?: number; append?: boolean } {
  if (!isCaissonClient(visit)) return {}
  const [mode, append] = [visit.query.get('mode'), visit.query.get('append')]
  if (mode !== null && !/^[0-7]{1,4}$/.test(mode)) throw new Fault('BAD_REQUEST', `mode: ${JSON.stringify(mode)} is no octal number`)
  if (append !== null && append !== '1') throw new Fault('BAD_REQUEST', `append: ${JSON.stringify(append)} is not 1`)
  return { ...(mode === null ? {} : { mode: Number.parseInt(mode, 8) }), ...(append === null ? {} : { append: true }) }
}

function unpacked({ request }: Visit): AsyncIterable<Buffer> {
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase()
  if (encoding === 'identity' || encoding === '') return bodyOf(request)
  if (encoding !== 'gzip') throw new Fault('BAD_REQUEST', `content-encoding: ${JSON.stringify(encoding)} is not gzip`)
  const body = createGunzip()
  // Whoever reads the result gets errors of either stream.
  pipeline(Readable.from(bodyOf(request)), body, () => undefined)
  return body
}

function unpackFailure(failure: unknown): Fault | undefined {
  const code = failure instanceof Error && 'code' in failure ? String(failure.code) : ''
  return code.startsWith('Z_')
    ? new Fault('BAD_REQUEST', 'the body is not gzip, although content-encoding says so', { cause: failure })
    : undefined
}
