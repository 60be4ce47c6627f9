import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Backlog } from './backlog.ts'

const piece = fc.record({
  channel: fc.constantFrom('stdout', 'stderr', 'control'),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 3000 }),
})
type Step = { take: boolean; piece: { channel: string; bytes: Uint8Array } }

test('what is taken is what was pushed, in order, whatever is joined on the way', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ take: fc.boolean(), piece })), (steps: Step[]) => {
      const backlog = new Backlog<string>()
      const [pushed, taken]: [string[], string[]] = [[], []]
      const note = (list: string[], channel: string, bytes: Uint8Array) => {
        for (const byte of bytes) list.push(`${channel} ${byte}`)
      }
      const take = () => {
        const segment = backlog.take()
        if (segment !== undefined) note(taken, segment.channel, segment.bytes)
        return segment !== undefined
      }
      for (const step of steps) {
        backlog.push(step.piece.channel, step.piece.bytes, 0)
        note(pushed, step.piece.channel, step.piece.bytes)
        if (step.take) take()
        expect(backlog.bytes).toBe(pushed.length - taken.length)
      }
      while (take());
      expect(taken).toEqual(pushed)
      expect(backlog.bytes).toBe(0)
    }),
  )
})

test('neighbours of one channel become one piece', () => {
  const backlog = new Backlog<string>()
  backlog.push('stdout', Buffer.from('first'), 1)
  for (const letter of 'abcdef') backlog.push('stdout', Buffer.from(letter), 2)
  expect(Buffer.from(backlog.take()?.bytes ?? []).toString()).toBe('first')
  expect(backlog.take()).toEqual({ channel: 'stdout', bytes: new Uint8Array(Buffer.from('abcdef')), atUs: 2 })
  expect(backlog.take()).toBeUndefined()
})

test('a flood of one-byte pieces on changing channels costs a bounded multiple of its bytes', () => {
  const backlog = new Backlog<string>()
  const before = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers
  const windowBytes = 1024 * 1024
  for (let count = 0; count < windowBytes; count += 1) backlog.push(count % 2 === 0 ? 'stdout' : 'stderr', new Uint8Array([1]), count)
  const grown = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers - before
  expect(backlog.bytes).toBe(windowBytes)
  expect(grown).toBeLessThan(256 * windowBytes)
})

test('a little payload does not keep a lot of padding alive', () => {
  const backlog = new Backlog<string>()
  backlog.push('stdout', new Uint8Array(new ArrayBuffer(64 * 1024), 0, 1100), 0)
  expect(backlog.take()?.bytes.buffer.byteLength).toBe(1100)
})
