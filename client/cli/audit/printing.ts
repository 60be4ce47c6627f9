import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** Prints lines with backpressure, and stops when the reader has gone. */
export async function printed(lines: AsyncIterable<string>): Promise<void> {
  try {
    await pipeline(Readable.from(lines), process.stdout, { end: false })
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code !== 'EPIPE') throw failure
  }
}

/** The last `count`; undefined: all, as they come. */
export async function* latest<T>(all: AsyncIterable<T>, count: number | undefined): AsyncGenerator<T> {
  if (count === undefined) {
    yield* all
    return
  }
  const kept: T[] = []
  for await (const one of all) if (kept.push(one) > count) kept.shift()
  yield* kept
}

export async function* mapped<T>(all: AsyncIterable<T>, line: (one: T) => string): AsyncGenerator<string> {
  for await (const one of all) yield `${line(one)}\n`
}
