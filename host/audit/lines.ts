import { closeSync, openSync, readSync, statSync } from 'node:fs'

const NEWLINE = 0x0a
/** No record is longer, because fields are truncated (record.ts; the keeper does the same). */
const MAX_LINE_BYTES = 4 * 1024 * 1024
const STEP_BYTES = 64 * 1024

/** Parses a line; undefined: not a JSON object (half a line, from before a crash). */
export function parsedLine(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
  } catch {
    // A malformed line counts as none.
    return undefined
  }
}

/** The first line of a file; empty if the file does not exist. */
export function firstLine(path: string): string {
  return read(path, (fd) => {
    for (let bytes = STEP_BYTES; ; bytes *= 4) {
      const start = Buffer.alloc(bytes)
      const length = readSync(fd, start, 0, bytes, 0)
      const end = start.subarray(0, length).indexOf(NEWLINE)
      if (end >= 0 || length < bytes || bytes > MAX_LINE_BYTES) return start.toString('utf8', 0, end >= 0 ? end : length)
    }
  })
}

/** The last line of a file that ends with a newline. */
export function lastLine(path: string): string {
  const { size } = statSync(path)
  return read(path, (fd) => {
    for (let bytes = STEP_BYTES; ; bytes *= 4) {
      const from = Math.max(0, size - bytes)
      const end = Buffer.alloc(Math.max(0, size - from - 1))
      readSync(fd, end, 0, end.length, from)
      const begin = end.lastIndexOf(NEWLINE)
      if (begin >= 0 || from === 0 || bytes > MAX_LINE_BYTES) return end.toString('utf8', begin + 1)
    }
  })
}

function read<T>(path: string, how: (fd: number) => T): T {
  const fd = openSync(path, 'r')
  try {
    return how(fd)
  } finally {
    closeSync(fd)
  }
}
