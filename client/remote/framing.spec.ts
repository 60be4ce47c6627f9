import { expect, test } from 'vitest'
import { envelope, envelopes, lines } from './framing.ts'

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size)
}

async function all<T>(pieces: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const piece of pieces) found.push(piece)
  return found
}

const SIZES = Array.from({ length: 40 }, (_, index) => index + 1)

test('messages come out whole however they were cut', async () => {
  const texts = ['', '{}', '{"text":"ß∂😀"}', 'x'.repeat(300)]
  const bytes = Buffer.concat(texts.map(envelope))
  for (const size of [...SIZES, bytes.length]) {
    const found = await all(envelopes(cut(bytes, size)))
    expect(found.map(({ flags, payload }) => [flags, payload.toString('utf8')])).toEqual(texts.map((text) => [0, text]))
  }
})

test('lines come out whole however they were cut, characters too; the last needs no end', async () => {
  const bytes = Buffer.from('{"a":"ß"}\n\n{"b":"😀"}\r\n{"c":1}')
  for (const size of SIZES) expect(await all(lines(cut(bytes, size)))).toEqual(['{"a":"ß"}', '{"b":"😀"}', '{"c":1}'])
})

test('a stream that ends within a message says so', async () => {
  const bytes = envelope('{"long":true}')
  for (const length of [1, 4, 5, bytes.length - 1]) {
    await expect(all(envelopes(cut(bytes.subarray(0, length), 3)))).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
  }
})

test('a message without an end is given up', async () => {
  const prefix = Buffer.from([0, 0xff, 0xff, 0xff, 0xff])
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield prefix
    const piece = Buffer.alloc(16 * 1024 * 1024)
    for (;;) yield piece
  }
  await expect(all(envelopes(endless()))).rejects.toMatchObject({ code: 'INTERNAL' })
})
