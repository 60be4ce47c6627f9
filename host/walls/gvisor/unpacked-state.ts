import { constants, open, rename, rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'

/** `pkg/state/statefile` of gVisor: this, the length of a text (8 bytes, big endian), the text, and a hash over all that. */
const MAGIC = Buffer.from('gVisorSF', 'latin1')
const HASH_BYTES = 32
/** `pkg/compressio`: the size of a piece (4 bytes), then the pieces, each with its compressed size before it (4 bytes). runsc makes them a MiB large. */
const MAX_PIECE_BYTES = 4 * 1024 * 1024
/** A small one stays in the processor's caches, and its buffer costs the reader no new pages: with a MiB a restore takes 40 ms more. */
const PIECE_BYTES = 64 * 1024
/** A warm interpreter with numpy has 7 MiB, and 26 unpacked. */
const MAX_PACKED_BYTES = 256 * 1024 * 1024
const MAX_STATE_BYTES = 2 * 1024 * 1024 * 1024

const inflated = (bytes: Buffer, options: { maxOutputLength: number }) =>
  promisify<Buffer, typeof options, Buffer>(inflateRaw)(bytes, options)
const deflated = (bytes: Buffer, options: { level: number }) => promisify<Buffer, typeof options, Buffer>(deflateRaw)(bytes, options)

/**
 * Rewrites a checkpoint of runsc so that nothing in it is compressed any more: each sandbox that is restored from it would wait for that anew. It stays what
 * the engine reads, because deflate has blocks that are stored. False: it has another form than the one that is known, and is as it was.
 */
export async function unpackState(path: string, signal: AbortSignal): Promise<boolean> {
  const beside = `${path}.unpacked`
  try {
    // The engine wrote it, in a folder of its own: what it may have laid there instead is neither followed nor waited for.
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

/** The new file; ends with undefined where the old one is not what it is taken for. */
async function* unpacked(state: Buffer): AsyncGenerator<Buffer | undefined> {
  const head = headOf(state)
  if (head === undefined) return yield undefined
  const pieceBytes = head.readUInt32BE(head.length - 4)
  head.writeUInt32BE(PIECE_BYTES, head.length - 4)
  yield head
  // All of them but the last are to be just as large as was said.
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

/** With the size of a piece at its end. A copy. */
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
