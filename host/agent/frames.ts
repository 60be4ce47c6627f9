import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { Fault, MAX_FRAME_BYTES } from '@caisson/wire'
import { type Frame, FrameSchema } from '@caisson/wire/agent'

/** Source: wire/agent.proto. A 4-byte little-endian length, then one Frame. */
const PREFIX_BYTES = 4

export type FrameInit = MessageInitShape<typeof FrameSchema>

export function encodeFrame(init: FrameInit): Uint8Array {
  const body = toBinary(FrameSchema, create(FrameSchema, init))
  if (body.length > MAX_FRAME_BYTES) {
    throw new Fault('BAD_REQUEST', `the request takes ${body.length} bytes on the agent wire, more than ${MAX_FRAME_BYTES}`)
  }
  const whole = Buffer.allocUnsafe(PREFIX_BYTES + body.length)
  whole.writeUInt32LE(body.length, 0)
  whole.set(body, PREFIX_BYTES)
  return whole
}

/**
 * Bytes in, frames out. The other side is the enemy: a length is judged before anything is kept for it, so that at most one frame's worth
 * of bytes is ever held, and after the first violation nothing more is read. Proven by spec/wire/decoder.spec.ts.
 */
export class FrameDecoder {
  #prefix = Buffer.alloc(PREFIX_BYTES)
  #prefixed = 0
  #body: Buffer | undefined
  #filled = 0
  #broken = false

  /** What is held of a frame that is not whole yet. */
  get heldBytes(): number {
    return this.#prefixed + this.#filled
  }

  /** Throws WIRE_VIOLATION; then the connection must be closed. The frames may share memory with `chunk`. */
  *push(chunk: Uint8Array): Generator<Frame> {
    if (this.#broken) throw new Fault('WIRE_VIOLATION', 'bytes after a violation')
    let rest = chunk
    while (rest.length > 0) {
      const length = this.#length(rest)
      if (length === undefined) return
      rest = rest.subarray(length.used)
      if (this.#body === undefined && rest.length >= length.bytes) {
        yield this.#parse(rest.subarray(0, length.bytes))
        rest = rest.subarray(length.bytes)
        continue
      }
      this.#body ??= Buffer.allocUnsafeSlow(length.bytes)
      const taken = rest.subarray(0, length.bytes - this.#filled)
      this.#body.set(taken, this.#filled)
      this.#filled += taken.length
      rest = rest.subarray(taken.length)
      if (this.#filled < length.bytes) return
      yield this.#parse(this.#body)
    }
  }

  #length(rest: Uint8Array): { bytes: number; used: number } | undefined {
    const used = Math.min(PREFIX_BYTES - this.#prefixed, rest.length)
    this.#prefix.set(rest.subarray(0, used), this.#prefixed)
    this.#prefixed += used
    if (this.#prefixed < PREFIX_BYTES) return undefined
    const bytes = this.#prefix.readUInt32LE(0)
    if (bytes > MAX_FRAME_BYTES) throw this.#violation(`a frame of ${bytes} bytes`)
    return { bytes, used }
  }

  #parse(body: Uint8Array): Frame {
    this.#prefixed = 0
    this.#filled = 0
    this.#body = undefined
    try {
      return fromBinary(FrameSchema, body, { readUnknownFields: false })
    } catch (cause) {
      throw this.#violation('a frame that does not parse', cause)
    }
  }

  #violation(what: string, cause?: unknown): Fault {
    this.#broken = true
    return new Fault('WIRE_VIOLATION', `the agent sent ${what}`, { cause })
  }
}
