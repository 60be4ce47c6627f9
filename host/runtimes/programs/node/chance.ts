import { closeSync, openSync, readSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import process from 'node:process'

/** V8's own, which cannot be reseeded. */
const original = Math.random
const WORDS = 1024
const words = new Uint32Array(WORDS)
let used = WORDS

/** Library from native/chance. Loading it makes OpenSSL reseed from the kernel. */
const LIBRARY = join(process.argv[1] ?? '', '..', 'chance.node')
const load = process.dlopen.bind(process)
/** How many random values Node takes from OpenSSL in advance. After as many calls, every cached value is newer than the reseeding. */
const UUIDS = 128
const INTEGERS = 1024

/**
 * Reseeds a process that continues from another one's memory. `Math.random` then draws from the kernel instead of the copied state. OpenSSL, which
 * `node:crypto` and `crypto` draw from, is reseeded from the kernel for all threads. Throws when that fails.
 */
export function renew(): void {
  renewSecrets()
  used = WORDS
  // Leaves a replacement by user code alone.
  if (Math.random !== original && Math.random !== random) return
  Object.defineProperty(Math, 'random', { value: random, writable: true, configurable: true, enumerable: false })
}

function renewSecrets(): void {
  const answer: { exports: unknown } = { exports: {} }
  load(answer, LIBRARY)
  if (answer.exports !== true) throw new Error('OpenSSL was given no chance by the kernel')
  // Loaded late: it takes milliseconds, which processes that never reseed are spared.
  const crypto = createRequire(LIBRARY)('node:crypto') as typeof import('node:crypto')
  drain(() => crypto.randomUUID(), UUIDS)
  drain(() => crypto.randomInt(2), INTEGERS)
}

function drain(draw: () => unknown, times: number): void {
  try {
    for (let drawn = 0; drawn < times; drawn += 1) draw()
  } catch {
    // Node's own functions do not throw, so user code has replaced them, and is left alone here, too.
  }
}

/** As many bits as V8's. */
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
