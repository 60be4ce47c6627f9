import { randomBytes } from 'node:crypto'
import { Transform, type TransformCallback } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { isGround, type Passed, type Watch, Withheld } from './passage.ts'

/** WebSocket frames (RFC 6455, 5.2), without extensions, because none is negotiated. */

const CONTINUATION = 0
const CLOSE = 8
const PONG = 10
const TEXT = 1
const BINARY = 2
const MAX_CONTROL_BYTES = 125
/** A shorter frame is buffered whole; of a longer one, parts are passed on. */
const WHOLE_BYTES = 4096
/** After this many frames, other work gets a turn: empty frames may arrive by the thousand. */
const FRAMES_AT_ONCE = 64

interface Frame {
  readonly isLast: boolean
  readonly kind: number
  readonly key: Buffer | null
  length: number
}

/** One direction of a WebSocket. A separate watch examines each message. Ends with Withheld, or with an error for an invalid frame. */
export class WebSocketFrames extends Transform {
  readonly #isMasked: boolean
  readonly #newWatch: () => Watch | null
  #rest: Buffer = Buffer.alloc(0)
  #frame: (Frame & { seen: number }) | undefined
  /** State of the message in progress. */
  #message: { kind: number; watch: Watch | null } | undefined

  /** `isMasked`: the direction from the client. */
  constructor(isMasked: boolean, newWatch: () => Watch | null) {
    super()
    this.#isMasked = isMasked
    this.#newWatch = newWatch
  }

  override _transform(bytes: Buffer, _: BufferEncoding, done: TransformCallback): void {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    const steps = async (): Promise<void> => {
      for (let count = 1; await this.#step(); count += 1) if (count % FRAMES_AT_ONCE === 0) await setImmediate()
    }
    steps().then(() => done(), done)
  }

  override _destroy(failure: Error | null, done: (failure: Error | null) => void): void {
    this.#message?.watch?.close?.()
    done(failure)
  }

  override _flush(done: TransformCallback): void {
    const isWhole = this.#rest.length === 0 && this.#frame === undefined && this.#message === undefined
    done(isWhole ? null : new Error('the web socket ended in the middle of a message'))
  }

  /** False: more data is needed. */
  async #step(): Promise<boolean> {
    if (this.#frame === undefined) {
      const read = headIn(this.#rest, this.#isMasked)
      if (read === undefined) return false
      this.#rest = this.#rest.subarray(read.bytes)
      this.#frame = { ...read.frame, seen: 0 }
      this.#begin(read.frame)
    }
    const frame = this.#frame
    const isControl = frame.kind >= CLOSE
    const left = frame.length - frame.seen
    const wanted = frame.length <= WHOLE_BYTES ? left : Math.min(left, this.#rest.length)
    if (this.#rest.length < wanted || (wanted === 0 && left > 0)) return false
    const piece = Buffer.from(this.#rest.subarray(0, wanted))
    this.#rest = this.#rest.subarray(wanted)
    if (frame.key !== null)
      for (let at = 0; at < piece.length; at += 1) piece[at] = (piece[at] ?? 0) ^ (frame.key[(frame.seen + at) % 4] ?? 0)
    frame.seen += wanted
    const isOver = frame.seen === frame.length
    if (isOver) this.#frame = undefined
    if (isControl) await this.#control(frame.kind, piece)
    else await this.#data(piece, isOver && frame.isLast)
    return true
  }

  #begin({ kind, isLast, length }: Frame): void {
    if (kind >= CLOSE) {
      if (!isLast || length > MAX_CONTROL_BYTES) throw new Error('a control frame that is not one')
    } else if ((kind === CONTINUATION) !== (this.#message !== undefined)) throw new Error('a frame out of order')
    else this.#message ??= { kind, watch: this.#newWatch() }
  }

  async #control(kind: number, payload: Buffer): Promise<void> {
    const watch = this.#newWatch()
    const passed = watch === null ? payload : await seen(watch, payload, true)
    if (passed.length > MAX_CONTROL_BYTES) throw new Error('a control frame became too long')
    this.#say(kind, true, passed)
  }

  async #data(piece: Buffer, isEnd: boolean): Promise<void> {
    const message = this.#message
    if (message === undefined) return
    const { watch } = message
    const passed = watch === null ? piece : await seen(watch, piece, isEnd)
    if (isEnd) this.#message = undefined
    if (passed.length === 0 && !isEnd) return
    this.#say(message.kind, isEnd, passed)
    message.kind = CONTINUATION
  }

  #say(kind: number, isLast: boolean, payload: Buffer): void {
    const first = (isLast ? 0x80 : 0) | kind
    const masked = this.#isMasked ? 0x80 : 0
    const { length } = payload
    const head =
      length < 126
        ? Buffer.from([first, masked | length])
        : length < 65_536
          ? Buffer.from([first, masked | 126, length >> 8, length & 0xff])
          : Buffer.concat([Buffer.from([first, masked | 127]), sixtyFour(length)])
    if (!this.#isMasked) return void this.push(Buffer.concat([head, payload]))
    const key = randomBytes(4)
    const start = head.length + key.length
    // A copy, because a watch may keep what it returned.
    const frame = Buffer.concat([head, key, payload])
    for (let at = 0; at < length; at += 1) frame[start + at] = (frame[start + at] ?? 0) ^ (key[at % 4] ?? 0)
    this.push(frame)
  }
}

function headIn(bytes: Buffer, isMasked: boolean): { frame: Frame; bytes: number } | undefined {
  if (bytes.length < 2) return undefined
  const [first = 0, second = 0] = bytes
  const kind = first & 0x0f
  if ((first & 0x70) !== 0 || ![CONTINUATION, TEXT, BINARY, CLOSE, CLOSE + 1, PONG].includes(kind))
    throw new Error('not a frame that was agreed on')
  if (((second & 0x80) !== 0) !== isMasked) throw new Error('a frame masked as it must not be')
  const short = second & 0x7f
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0
  const size = 2 + lengthBytes + (isMasked ? 4 : 0)
  if (bytes.length < size) return undefined
  const length = lengthBytes === 0 ? short : lengthBytes === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
  if (!Number.isSafeInteger(length)) throw new Error('a frame without end')
  const key = isMasked ? Buffer.from(bytes.subarray(size - 4, size)) : null
  return { frame: { isLast: (first & 0x80) !== 0, kind, key, length }, bytes: size }
}

function sixtyFour(length: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(length))
  return bytes
}

/** The part of a piece that may be sent on. */
async function seen(watch: Watch, piece: Buffer, isEnd: boolean): Promise<Buffer> {
  let isOver = true
  try {
    const passed = allowed(await watch.chunk(piece))
    isOver = isEnd
    return isEnd ? Buffer.concat([passed, allowed(await watch.end())]) : passed
  } finally {
    if (isOver) watch.close?.()
  }
}

function allowed(passed: Passed): Buffer {
  if (isGround(passed)) throw new Withheld(passed)
  return passed
}
