/** A run of bytes from one channel. */
export interface Segment<Channel> {
  channel: Channel
  bytes: Uint8Array
  atUs: number
}

interface Block<Channel> {
  bytes: Uint8Array
  used: number
  /** Large payloads are kept as they arrived; small ones share a block. */
  shared: boolean
  marks: { channel: Channel; atUs: number; end: number }[]
  taken: number
}

const SHARED_BLOCK_BYTES = 4096
const SMALL_BYTES = 1024
const MAX_RETAINED_FACTOR = 4

/**
 * Received but unread data, in order. Credit limits its bytes but not the number of pieces. So that a flood of one-byte pieces costs only a small multiple of
 * its bytes, small pieces share a block, and adjacent pieces of one channel are merged.
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
      // A view keeps its whole buffer alive, so a small payload from a large frame is copied out.
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

  /** The oldest piece, from a single channel. */
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
    // On a quiet channel the first piece gets only what it needs; when data queues up, full blocks are allocated.
    const size = this.#blocks.length === 0 ? length : SHARED_BLOCK_BYTES
    const block = { bytes: new Uint8Array(size), used: 0, shared: true, marks: [], taken: 0 }
    this.#blocks.push(block)
    return block
  }
}
