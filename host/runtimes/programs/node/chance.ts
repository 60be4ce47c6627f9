import { closeSync, openSync, readSync } from 'node:fs'

/** V8's own, whose state nobody can change. */
const original = Math.random
const WORDS = 1024
const words = new Uint32Array(WORDS)
let used = WORDS

/**
 * In a process that goes on from the memory of another: `Math.random` is no longer what that one draws, but the kernel's, which has been renewed. Of OpenSSL's, which
 * `node:crypto` draws from, nothing can be said here (docs/decisions/0039-memory-for-others.md).
 */
export function renew(): void {
  used = WORDS
  // What somebody has put in its place is theirs.
  if (Math.random !== original && Math.random !== random) return
  Object.defineProperty(Math, 'random', { value: random, writable: true, configurable: true, enumerable: false })
}

/** As many bits as V8 gives. */
function random(): number {
  if (used === WORDS) draw()
  const [high = 0, low = 0] = words.subarray(used, used + 2)
  words.fill(0, used, used + 2)
  used += 2
  return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53
}

function draw(): void {
  const kernel = openSync('/dev/urandom', 'r')
  try {
    if (readSync(kernel, words) !== words.byteLength) throw new Error('the kernel has no randomness to give')
    used = 0
  } finally {
    closeSync(kernel)
  }
}
