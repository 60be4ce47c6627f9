import { Fault } from '@caisson/wire'

/** Largest message of a stream. The daemon limits sandboxes; this limits the daemon. */
const MAX_MESSAGE_BYTES = 128 * 1024 * 1024
const PREFIX_BYTES = 5
const NEWLINE = 10

export interface Envelope {
  /** Bit 1: the last of its stream. */
  flags: number
  payload: Buffer
}

/** The messages of a Connect stream, however the bytes were split: one byte of flags, four of length, then the payload. */
export async function* envelopes(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Envelope> {
  const held = new Held()
  for await (const piece of bytes) {
    held.add(piece)
    for (let wanted = lengthIn(held); wanted <= held.bytes; wanted = lengthIn(held)) {
      const whole = held.take(wanted)
      yield { flags: whole[0] ?? 0, payload: whole.subarray(PREFIX_BYTES) }
    }
  }
  if (held.bytes > 0) throw new Fault('DAEMON_UNREACHABLE', 'the daemon broke off in the middle of a message')
}

export function envelope(payload: string): Buffer {
  const body = Buffer.from(payload)
  const whole = Buffer.alloc(PREFIX_BYTES + body.length)
  whole.writeUInt32BE(body.length, 1)
  body.copy(whole, PREFIX_BYTES)
  return whole
}

/** Lines, each decoded as a whole, since a character may be split across chunks. Empty lines are skipped; the last one needs no newline. */
export async function* lines(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const held = new Held()
  for await (const piece of bytes) {
    let from = 0
    for (let at = piece.indexOf(NEWLINE); at !== -1; at = piece.indexOf(NEWLINE, from)) {
      held.add(piece.subarray(from, at))
      from = at + 1
      const line = held.take(held.bytes).toString('utf8').trim()
      if (line !== '') yield line
    }
    held.add(piece.subarray(from))
  }
  const last = held.take(held.bytes).toString('utf8').trim()
  if (last !== '') yield last
}

/** Bytes received but not yet consumed. They are joined only once, when enough have arrived. */
class Held {
  bytes = 0
  #pieces: Uint8Array[] = []

  add(piece: Uint8Array): void {
    if (piece.length === 0) return
    this.#pieces.push(piece)
    this.bytes += piece.length
    if (this.bytes > MAX_MESSAGE_BYTES) throw new Fault('INTERNAL', `the daemon sent a message of more than ${MAX_MESSAGE_BYTES} bytes`)
  }

  /** The first `length` bytes, without consuming them. */
  peek(length: number): Buffer {
    const first = this.#pieces[0]
    if (first !== undefined && first.length < length) this.#pieces = [Buffer.concat(this.#pieces)]
    return asBuffer(this.#pieces[0] ?? Buffer.alloc(0)).subarray(0, length)
  }

  take(length: number): Buffer {
    const taken = this.peek(length)
    const rest = this.#pieces[0]?.subarray(length)
    if (rest === undefined || rest.length === 0) this.#pieces.shift()
    else this.#pieces[0] = rest
    this.bytes -= taken.length
    return taken
  }
}

/** Length of the first envelope; infinite while its prefix is incomplete. */
function lengthIn(held: Held): number {
  return held.bytes < PREFIX_BYTES ? Number.POSITIVE_INFINITY : PREFIX_BYTES + held.peek(PREFIX_BYTES).readUInt32BE(1)
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
