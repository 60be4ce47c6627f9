import { createRequire } from 'node:module'

const crypto = () => createRequire('/')('node:crypto') as typeof import('node:crypto')

/** V8's own, whose state nobody can change. */
const original = Math.random
const WORDS = 1024
const words = new Uint32Array(WORDS)
let used = WORDS
/** As Node keeps them for later (lib/internal/crypto/random.js): so many calls, and what is drawn then was not there before. */
const KEPT = { randomUUID: 128, randomInt: 1024 }

/**
 * In a process that goes on from the memory of another: nothing that is drawn from now on is what that one draws. OpenSSL knows a fork by its process id, and
 * a memory by nothing, and Node has no way to add to its chance; but it may be told to ask the processor each time. Throws where it cannot be.
 */
export function renew(): void {
  const { setEngine, constants, randomUUID, randomInt } = crypto()
  setEngine('rdrand', constants.ENGINE_METHOD_RAND)
  for (let left = KEPT.randomUUID; left > 0; left -= 1) randomUUID()
  for (let left = KEPT.randomInt; left > 0; left -= 1) randomInt(2)
  used = WORDS
  // What somebody has put in its place is theirs.
  if (Math.random !== original && Math.random !== random) return
  Object.defineProperty(Math, 'random', { value: random, writable: true, configurable: true, enumerable: false })
}

/** As many bits as V8 gives. */
function random(): number {
  if (used === WORDS) {
    crypto().randomFillSync(words)
    used = 0
  }
  const [high = 0, low = 0] = words.subarray(used, used + 2)
  words.fill(0, used, used + 2)
  used += 2
  return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53
}
