import { create, toBinary } from '@bufbuild/protobuf'
import { FrameSchema } from '@caisson/wire/agent'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeApart, encodeFrame, FrameDecoder } from '../../host/agent/frames.ts'
import { MAX_DATA_BYTES, MAX_FRAME_BYTES } from '../../wire/limits.ts'

// What a hostile agent may send: the decoder takes bytes from inside the wall.

const PREFIX_BYTES = 4
const prefix = (length: number) => {
  const bytes = Buffer.alloc(PREFIX_BYTES)
  bytes.writeUInt32LE(length >>> 0)
  return bytes
}
const violation = expect.objectContaining({ code: 'WIRE_VIOLATION' })

/** Pushes everything, in pieces; what came of it. */
function feed(decoder: FrameDecoder, bytes: Uint8Array, pieces: number[] = []): { frames: number; refused: unknown } {
  let frames = 0
  let rest = bytes
  try {
    for (const size of [...pieces, bytes.length]) {
      for (const _ of decoder.push(rest.subarray(0, size))) frames += 1
      expect(decoder.heldBytes).toBeLessThanOrEqual(MAX_FRAME_BYTES + PREFIX_BYTES)
      rest = rest.subarray(size)
    }
    return { frames, refused: undefined }
  } catch (refused) {
    return { frames, refused }
  }
}

const frame = fc.oneof(
  fc
    .record({ stream: fc.nat(), payload: fc.uint8Array({ maxLength: 2000 }), channel: fc.integer({ min: 1, max: 7 }) })
    .map(({ stream, payload, channel }) =>
      encodeFrame({ stream, body: { case: 'data', value: { payload: payload as Uint8Array<ArrayBuffer>, channel } } }),
    ),
  fc
    .record({ stream: fc.nat(), bytes: fc.nat() })
    .map(({ stream, bytes }) => encodeFrame({ stream, body: { case: 'window', value: { bytes } } })),
  fc
    .record({ stream: fc.nat(), message: fc.string() })
    .map(({ stream, message }) => encodeFrame({ stream, body: { case: 'close', value: { code: 'failed', message } } })),
)
const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 40 })

describe('honest frames', () => {
  test('of data are those that protobuf would write', () => {
    const stream = fc.integer({ min: 1, max: 2 ** 32 - 1 })
    const payload = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(MAX_DATA_BYTES).map((length) => new Uint8Array(length).fill(7)),
    )
    const channel = fc.integer({ min: 0, max: 7 })
    fc.assert(
      fc.property(fc.record({ stream, payload, channel, end: fc.boolean() }), ({ stream, ...data }) => {
        const init = { stream, body: { case: 'data' as const, value: { ...data, payload: data.payload as Uint8Array<ArrayBuffer> } } }
        const expected = toBinary(FrameSchema, create(FrameSchema, init))
        const [bytes, length] = [Buffer.from(encodeFrame(init)), expected.length]
        const apart = encodeApart(init)
        if (apart !== undefined) expect(Buffer.concat(apart).equals(bytes)).toBe(true)
        expect(apart !== undefined).toBe(data.payload.length >= 4096 && !data.end)
        expect([bytes.readUInt32LE(0), bytes.subarray(PREFIX_BYTES).equals(expected)]).toEqual([length, true])
      }),
    )
  })

  test('come out whole, wherever the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 20 }), sizes, (frames, pieces) => {
        expect(feed(new FrameDecoder(), Buffer.concat(frames), pieces)).toEqual({ frames: frames.length, refused: undefined })
      }),
    )
  })

  test('of the largest size come out, one byte more is refused at its prefix', () => {
    const payload = new Uint8Array(MAX_FRAME_BYTES - 16)
    const bytes = encodeFrame({ stream: 1, body: { case: 'data', value: { payload, channel: 2 } } })
    expect(feed(new FrameDecoder(), bytes).frames).toBe(1)
    expect(feed(new FrameDecoder(), prefix(MAX_FRAME_BYTES + 1)).refused).toEqual(violation)
  })

  test('a frame that we would send and no agent would take is refused before it is sent', () => {
    const payload = new Uint8Array(MAX_FRAME_BYTES)
    expect(() => encodeFrame({ stream: 1, body: { case: 'data', value: { payload, channel: 1 } } })).toThrow(/more than/)
  })
})

describe('hostile bytes', () => {
  test('of any kind give frames or one violation, and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), sizes, (bytes, pieces) => {
        const { refused } = feed(new FrameDecoder(), bytes, pieces)
        if (refused !== undefined) expect(refused).toEqual(violation)
      }),
      { numRuns: 2000 },
    )
  })

  test('behind an honest length give frames or one violation', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), sizes, (body, pieces) => {
        const { refused } = feed(new FrameDecoder(), Buffer.concat([prefix(body.length), body]), pieces)
        if (refused !== undefined) expect(refused).toEqual(violation)
      }),
      { numRuns: 2000 },
    )
  })

  test('one bit wrong anywhere in honest frames gives frames or one violation', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 4 }), fc.nat(), sizes, (frames, at, pieces) => {
        const bytes = Buffer.concat(frames)
        bytes.writeUInt8(bytes.readUInt8(Math.floor(at / 8) % bytes.length) ^ (1 << (at % 8)), Math.floor(at / 8) % bytes.length)
        const { refused } = feed(new FrameDecoder(), bytes, pieces)
        if (refused !== undefined) expect(refused).toEqual(violation)
      }),
      { numRuns: 2000 },
    )
  })

  test('a truncated frame is waited for, and holds no more than itself', () => {
    fc.assert(
      fc.property(frame, fc.nat(), (bytes, cut) => {
        const decoder = new FrameDecoder()
        const part = bytes.subarray(0, cut % bytes.length)
        expect(feed(decoder, part)).toEqual({ frames: 0, refused: undefined })
        expect(decoder.heldBytes).toBe(part.length)
      }),
    )
  })

  test.each([MAX_FRAME_BYTES + 1, 2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1])(
    'a length of %d is refused by its prefix alone',
    (length) => {
      const decoder = new FrameDecoder()
      expect(feed(decoder, prefix(length)).refused).toEqual(violation)
      expect(decoder.heldBytes).toBeLessThanOrEqual(PREFIX_BYTES)
    },
  )

  test('after a violation nothing more is read', () => {
    const decoder = new FrameDecoder()
    feed(decoder, prefix(2 ** 32 - 1))
    const honest = encodeFrame({ stream: 1, body: { case: 'window', value: { bytes: 1 } } })
    expect(feed(decoder, honest)).toEqual({ frames: 0, refused: violation })
  })

  test('a body without end keeps memory where it was', () => {
    const decoder = new FrameDecoder()
    const chunk = new Uint8Array(64 * 1024)
    // Each prefix promises the largest frame; bodies of zeroes do not parse as one. Frames of unknown fields do: field 15, length-delimited.
    const body = Buffer.alloc(MAX_FRAME_BYTES)
    body.set([0x7a, 0xfc, 0xff, 0x0f])
    const whole = Buffer.concat([prefix(body.length), body])
    const before = process.memoryUsage().rss
    let frames = 0
    for (let count = 0; count < 2000; count += 1) {
      for (let at = 0; at < whole.length; at += chunk.length) {
        for (const _ of decoder.push(whole.subarray(at, at + chunk.length))) frames += 1
        expect(decoder.heldBytes).toBeLessThanOrEqual(MAX_FRAME_BYTES + PREFIX_BYTES)
      }
    }
    expect(frames).toBe(2000)
    const grownMiB = (process.memoryUsage().rss - before) / 1024 / 1024
    // Half a gigabyte went through.
    expect(grownMiB).toBeLessThan(128)
  })
})
