import { constants, open, rename, rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'

/** `pkg/state/statefile` of gVisor: this magic, a length (8 bytes, big endian), a text of that length, and a hash over all of it. */
const MAGIC = Buffer.from('gVisorSF', 'latin1')
const HASH_BYTES = 32
/** `pkg/compressio`: the chunk size (4 bytes), then the chunks, each preceded by its compressed size (4 bytes). runsc uses chunks of 1 MiB. */
const MAX_PIECE_BYTES = 4 * 1024 * 1024
/** A small chunk stays in the CPU's caches, and its buffer costs the reader no new pages: with 1 MiB a restore takes 40 ms more. */
const PIECE_BYTES = 64 * 1024
/** A warm interpreter with numpy takes 7 MiB, and 26 MiB unpacked. */
const MAX_PACKED_BYTES = 256 * 1024 * 1024
const MAX_STATE_BYTES = 2 * 1024 * 1024 * 1024

const inflated = (bytes: Buffer, options: { maxOutputLength: number }) =>
  promisify<Buffer, typeof options, Buffer>(inflateRaw)(bytes, options)
const deflated = (bytes: Buffer, options: { level: number }) => promisify<Buffer, typeof options, Buffer>(deflateRaw)(bytes, options)

/**
 * Rewrites a checkpoint of runsc without compression, so that not every restore has to decompress it. runsc can still read it, because deflate has stored
 * blocks. False: the file has an unknown format and was left unchanged.
 */
export async function unpackState(path: string, signal: AbortSignal): Promise<boolean> {
  const beside = `${path}.unpacked`
  try {
    // The engine wrote this in a folder of its own, so a link or a FIFO there must neither be followed nor block.
    await using from = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const status = await from.stat()
    if (!status.isFile() || status.size > MAX_PACKED_BYTES) return false
    await using to = await open(beside, 'wx', 0o600)
    let total = 0
    for await (const bytes of unpacked(await from.readFile())) {
      signal.throwIfAborted()
      total += bytes?.length ?? 0
      if (bytes === undefined || total > MAX_STATE_BYTES) return false
      await to.write(bytes)
    }
    await rename(beside, path)
    return true
  } finally {
    await rm(beside, { force: true })
  }
}

/** The new file; yields undefined and ends if the old one has an unexpected format. */
async function* unpacked(state: Buffer): AsyncGenerator<Buffer | undefined> {
  const head = headOf(state)
  if (head === undefined) return yield undefined
  const pieceBytes = head.readUInt32BE(head.length - 4)
  head.writeUInt32BE(PIECE_BYTES, head.length - 4)
  yield head
  // All chunks but the last must have exactly the declared size.
  let left = Buffer.alloc(0)
  for (let at = head.length; at < state.length; ) {
    const size = at + 4 > state.length ? state.length : state.readUInt32BE(at)
    const packed = state.subarray(at + 4, at + 4 + size)
    const plain = packed.length === size ? await inflated(packed, { maxOutputLength: pieceBytes }).catch(() => undefined) : undefined
    if (plain === undefined) return yield undefined
    at += 4 + size
    const all = Buffer.concat([left, plain])
    const whole = at < state.length ? all.length - (all.length % PIECE_BYTES) : all.length
    yield await stored(all.subarray(0, whole))
    left = all.subarray(whole)
  }
}

/** The header, with the chunk size at its end. A copy. */
function headOf(state: Buffer): Buffer | undefined {
  const textAt = MAGIC.length + 8
  if (state.length < textAt || !state.subarray(0, MAGIC.length).equals(MAGIC)) return undefined
  const end = state.readBigUInt64BE(MAGIC.length) + BigInt(textAt + HASH_BYTES + 4)
  if (end >= BigInt(state.length)) return undefined
  const head = Buffer.from(state.subarray(0, Number(end)))
  const pieceBytes = head.readUInt32BE(head.length - 4)
  return pieceBytes === 0 || pieceBytes > MAX_PIECE_BYTES ? undefined : head
}

async function stored(bytes: Buffer): Promise<Buffer> {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    const part = await deflated(bytes.subarray(at, at + PIECE_BYTES), { level: 0 })
    const size = Buffer.alloc(4)
    size.writeUInt32BE(part.length)
    parts.push(size, part)
  }
  return Buffer.concat(parts)
}
