import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { Fault, type Network, type NetworkFile } from '@caisson/wire'
import { fileFault } from '../run/job.ts'

/** More than the largest allowed network policy (host/sandbox/request.ts). */
const MAX_BYTES = 128 * 1024

/** `none`, `open`, `replay`, `allow:` with a list of names, or the path of a file with the policy as an object. The host validates its contents. */
export function network(text: string): Network {
  if (text === 'none' || text === 'open' || text === 'replay' || /^allow:[^,\s]+(,[^,\s]+)*$/.test(text)) return text
  if (text.endsWith('.json') || text.includes('/')) return ofFile(text)
  throw new Fault('BAD_REQUEST', `--net ${JSON.stringify(text)} is not a network mode`, {
    hint: 'One of: none, open, learn, replay, allow:HOST,HOST, or the path of a JSON file.',
  })
}

function ofFile(path: string): NetworkFile {
  let said: unknown
  try {
    said = JSON.parse(contentOf(path))
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw fileFault(cause, path)
    throw new Fault('BAD_REQUEST', `--net ${path}: ${cause.message}`, { hint: 'The file must hold one JSON object.', cause })
  }
  if (typeof said === 'object' && said !== null && !Array.isArray(said)) return said as NetworkFile
  throw new Fault('BAD_REQUEST', `--net ${path}: it holds no JSON object`, {
    hint: 'Such as {"mode": "allow", "allow": ["example.com:443"]}.',
  })
}

function contentOf(path: string): string {
  // Without O_NONBLOCK, opening a pipe would block until it has a writer.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    if (!fstatSync(file).isFile()) throw new Fault('FILE_KIND', `${path} is not a regular file`, { hint: 'Name a JSON file.' })
    const bytes = Buffer.alloc(MAX_BYTES + 1)
    let length = 0
    for (let got = -1; got !== 0 && length < bytes.length; length += got) got = readSync(file, bytes, length, bytes.length - length, null)
    if (length > MAX_BYTES) throw new Fault('BAD_REQUEST', `--net ${path} is larger than ${MAX_BYTES / 1024} KiB`, { hint: 'Shorten it.' })
    return bytes.toString('utf8', 0, length)
  } finally {
    closeSync(file)
  }
}
