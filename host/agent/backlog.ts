/** A stretch of one channel. */
export interface Segment<Channel> {
  channel: Channel
  bytes: Uint8Array
  atUs: number
}

interface Block<Channel> {
  bytes: Uint8Array
  used: number
  /** Whole payloads are kept as they came; small ones share a block. */
  shared: boolean
  marks: { channel: Channel; atUs: number; end: number }[]
  taken: number
}

const SHARED_BLOCK_BYTES = 4096
const SMALL_BYTES = 1024
const MAX_RETAINED_FACTOR = 4

/**
 * What has come and not yet been read, in order. Credit bounds its bytes, not the number of pieces: so that a flood of one-byte pieces costs no
 * more than a small multiple of its bytes, small pieces share a block, and neighbours of one channel become one piece.
 */
export class Backlog<Channel> {
  #blocks: Block<Channel>[] = []
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  push(channel: Channel, bytes: Uint8Array, atUs: number): void {
    if (bytes.length === 0) return
    this.#bytes += bytes.length
    if (bytes.length > SMALL_BYTES) {
      const marks = [{ channel, atUs, end: bytes.length }]
      // A view keeps all of its buffer alive: a little payload in a lot of padding is copied out.
      const own = bytes.buffer.byteLength > bytes.length * MAX_RETAINED_FACTOR ? bytes.slice() : bytes
      this.#blocks.push({ bytes: own, used: own.length, shared: false, marks, taken: 0 })
      return
    }
    const block = this.#roomFor(bytes.length)
    block.bytes.set(bytes, block.used)
    block.used += bytes.length
    const last = block.marks.at(-1)
    if (last?.channel === channel) last.end = block.used
    else block.marks.push({ channel, atUs, end: block.used })
  }

  /** The oldest piece, all of one channel. */
  take(): Segment<Channel> | undefined {
    const block = this.#blocks[0]
    const mark = block?.marks.shift()
    if (block === undefined || mark === undefined) return undefined
    const bytes = block.bytes.subarray(block.taken, mark.end)
    block.taken = mark.end
    if (block.marks.length === 0) this.#blocks.shift()
    this.#bytes -= bytes.length
    return { channel: mark.channel, bytes, atUs: mark.atUs }
  }

  clear(): void {
    this.#blocks = []
    this.#bytes = 0
  }

  #roomFor(length: number): Block<Channel> {
    const last = this.#blocks.at(-1)
    if (last?.shared && last.bytes.length - last.used >= length) return last
    // The first piece of a quiet channel gets no more than it needs; a queue gets blocks to fill.
    const size = this.#blocks.length === 0 ? length : SHARED_BLOCK_BYTES
    const block = { bytes: new Uint8Array(size), used: 0, shared: true, marks: [], taken: 0 }
    this.#blocks.push(block)
    return block
  }
}
