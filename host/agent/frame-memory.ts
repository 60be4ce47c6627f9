import { INITIAL_WINDOW_BYTES, MAX_DATA_BYTES } from '@caisson/wire'

/** A frame of Data at its largest, with whatever wire/agent.proto may put around its payload. */
const LARGE_BYTES = MAX_DATA_BYTES + 64
/** As many as one stream has credit for, and the one that is being read. */
const MAX_SPARE = INITIAL_WINDOW_BYTES / MAX_DATA_BYTES + 1

/**
 * Memory for the bodies of received frames. A file of 256 MiB has 2,048 large ones, and V8, which sees no more of each than a small object, would collect its
 * whole heap again and again for the sake of what lies outside it: so a reader who is done with a payload gives its memory back, for a later frame of the same
 * connection. Memory never moves from one sandbox to another.
 */
export class FrameMemory {
  #spare: Buffer[] = []

  /** Uninitialised. */
  take(bytes: number): Buffer {
    if (bytes <= LARGE_BYTES / 2 || bytes > LARGE_BYTES) return Buffer.allocUnsafe(bytes)
    return (this.#spare.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES)).subarray(0, bytes)
  }

  /** Nobody reads this payload any more. Payloads of small frames are left to the collector. */
  giveBack(payload: Uint8Array): void {
    if (payload.buffer.byteLength !== LARGE_BYTES || this.#spare.length >= MAX_SPARE) return
    this.#spare.push(Buffer.from(payload.buffer))
  }

  /** Keeps nothing for later. */
  clear(): void {
    this.#spare = []
  }
}
