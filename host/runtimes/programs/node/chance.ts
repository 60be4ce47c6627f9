import { closeSync, openSync, readSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import process from 'node:process'

/** V8's own, whose state nobody can change. */
const original = Math.random
const WORDS = 1024
const words = new Uint32Array(WORDS)
let used = WORDS

/** Of native/chance. Loading it has OpenSSL ask the kernel. */
const LIBRARY = join(process.argv[1] ?? '', '..', 'chance.node')
const load = process.dlopen.bind(process)
/** How much Node draws of OpenSSL at a time and hands out piece by piece; so many calls, and all that is left was drawn since. */
const UUIDS = 128
const INTEGERS = 1024

/**
 * In a process that goes on from the memory of another: `Math.random` is no longer what that one draws, but the kernel's, which has been renewed; OpenSSL, which `node:crypto` and
 * `crypto` draw from, asks the kernel anew, for all threads. Throws when it cannot.
 */
export function renew(): void {
  renewSecrets()
  used = WORDS
  // What somebody has put in its place is theirs.
  if (Math.random !== original && Math.random !== random) return
  Object.defineProperty(Math, 'random', { value: random, writable: true, configurable: true, enumerable: false })
}

function renewSecrets(): void {
  const answer: { exports: unknown } = { exports: {} }
  load(answer, LIBRARY)
  if (answer.exports !== true) throw new Error('OpenSSL was given no chance by the kernel')
  // Its start takes milliseconds, which those who never ask for it need not spend.
  const crypto = createRequire(LIBRARY)('node:crypto') as typeof import('node:crypto')
  drain(() => crypto.randomUUID(), UUIDS)
  drain(() => crypto.randomInt(2), INTEGERS)
}

function drain(draw: () => unknown, times: number): void {
  try {
    for (let drawn = 0; drawn < times; drawn += 1) draw()
  } catch {
    // Node's own do not throw: what somebody has put in their place is theirs, here too.
  }
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
