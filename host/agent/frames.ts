import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { Fault, MAX_DATA_BYTES, MAX_FRAME_BYTES } from '@caisson/wire'
import { type DataSchema, type Frame, FrameSchema } from '@caisson/wire/agent'
import { FrameMemory } from './frame-memory.ts'

/** Source: wire/agent.proto. A 4-byte little-endian length, then one Frame. */
const PREFIX_BYTES = 4

export type FrameInit = MessageInitShape<typeof FrameSchema>

export function encodeFrame(init: FrameInit): Uint8Array {
  const plain = init.body?.case === 'data' && init.body.value.atUs === undefined ? init.body.value : undefined
  if (plain?.payload !== undefined && plain.payload.length <= MAX_DATA_BYTES && init.stream) return encodeData(init.stream, plain, true)
  const body = toBinary(FrameSchema, create(FrameSchema, init))
  if (body.length > MAX_FRAME_BYTES) {
    throw new Fault('BAD_REQUEST', `the request takes ${body.length} bytes on the agent wire, more than ${MAX_FRAME_BYTES}`)
  }
  const whole = Buffer.allocUnsafe(PREFIX_BYTES + body.length)
  whole.writeUInt32LE(body.length, 0)
  whole.set(body, PREFIX_BYTES)
  return whole
}

/** From this size on, copying costs more than handing the kernel two pieces. */
const APART_BYTES = 4096

/** The same in two pieces, the second being the payload itself, which must not change until it has been sent. Undefined: not possible for this frame. */
export function encodeApart({ stream, body }: FrameInit): readonly [head: Uint8Array, payload: Uint8Array] | undefined {
  if (!stream || body?.case !== 'data' || body.value.atUs !== undefined || body.value.end === true) return undefined
  const { payload } = body.value
  if (payload === undefined || payload.length < APART_BYTES || payload.length > MAX_DATA_BYTES) return undefined
  return [encodeData(stream, body.value, false), payload]
}

type DataInit = MessageInitShape<typeof DataSchema>

/** Tag bytes of wire/agent.proto: field number and wire type. */
const [STREAM, DATA, CHANNEL, PAYLOAD, END] = [0x08, 0x22, 0x08, 0x12, 0x20]
/** Maximum encoded size of the lengths and numbers used here. */
const MAX_VARINT_BYTES = 5

/** Encodes Data, the most frequent frame. The payload is copied once, into its final place, or sent separately. The bytes equal those of `toBinary`. */
function encodeData(stream: number, { channel = 0, payload = new Uint8Array(), end = false }: DataInit, isWhole: boolean): Uint8Array {
  const inner = (channel === 0 ? 0 : 2) + (payload.length === 0 ? 0 : 1 + varintBytes(payload.length) + payload.length) + (end ? 2 : 0)
  const body = 1 + varintBytes(stream) + 1 + varintBytes(inner) + inner
  const whole = Buffer.allocUnsafe(PREFIX_BYTES + body - (isWhole ? 0 : payload.length))
  let at = whole.writeUInt32LE(body, 0)
  at = putVarint(whole, stream, whole.writeUInt8(STREAM, at))
  at = putVarint(whole, inner, whole.writeUInt8(DATA, at))
  if (channel !== 0) at = whole.writeUInt8(channel, whole.writeUInt8(CHANNEL, at))
  if (payload.length > 0) {
    at = putVarint(whole, payload.length, whole.writeUInt8(PAYLOAD, at))
    if (isWhole) whole.set(payload, at)
    at += isWhole ? payload.length : 0
  }
  if (end) whole.writeUInt8(1, whole.writeUInt8(END, at))
  return whole
}

function varintBytes(value: number): number {
  let bytes = 1
  while (bytes < MAX_VARINT_BYTES && value >= 2 ** (7 * bytes)) bytes += 1
  return bytes
}

/** Returns the offset of the next byte. */
function putVarint(to: Buffer, value: number, from: number): number {
  let [rest, at] = [value, from]
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) at = to.writeUInt8((rest & 0x7f) | 0x80, at)
  return to.writeUInt8(rest, at)
}

/**
 * Decodes bytes into frames. The peer is hostile: a length is checked before anything is stored for it, so that at most one frame is buffered, and nothing is
 * read after the first violation. Proven by spec/wire/decoder.spec.ts.
 */
export class FrameDecoder {
  readonly memory = new FrameMemory()
  #prefix = Buffer.alloc(PREFIX_BYTES)
  #prefixed = 0
  #body: Buffer | undefined
  #filled = 0
  #broken = false

  /** Bytes buffered for an incomplete frame. */
  get heldBytes(): number {
    return this.#prefixed + this.#filled
  }

  /** Throws WIRE_VIOLATION, after which the connection must be closed. `chunk` is copied. */
  *push(chunk: Uint8Array): Generator<Frame> {
    if (this.#broken) throw new Fault('WIRE_VIOLATION', 'bytes after a violation')
    let rest = chunk
    while (rest.length > 0) {
      const length = this.#length(rest)
      if (length === undefined) return
      rest = rest.subarray(length.used)
      this.#body ??= this.memory.take(length.bytes)
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
