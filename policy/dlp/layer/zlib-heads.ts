const DEFLATE = 8
const WINDOWS = 8
const LEVELS = 4

/** All two-byte zlib headers (RFC 1950, 2.2) without a dictionary, for every window and level: small data has a small window (PNG, Git). */
export const ZLIB_HEADS: readonly (readonly [number, number])[] = Array.from({ length: WINDOWS * LEVELS }, (_, index) => {
  const first = Math.floor(index / LEVELS) * 16 + DEFLATE
  const level = (index % LEVELS) * 64
  // As one number, both bytes are a multiple of 31.
  return [first, level + ((31 - ((first * 256 + level) % 31)) % 31)]
})
