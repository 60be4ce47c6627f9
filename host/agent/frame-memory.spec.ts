import { MAX_DATA_BYTES, MAX_FRAME_BYTES } from '@caisson/wire'
import { expect, test } from 'vitest'
import { FrameMemory } from './frame-memory.ts'

test('memory that was given back takes a later large frame, whatever its length', () => {
  const memory = new FrameMemory()
  const first = memory.take(MAX_DATA_BYTES + 20)
  memory.giveBack(first.subarray(12))
  const second = memory.take(MAX_DATA_BYTES)
  expect(second.buffer).toBe(first.buffer)
  expect(second.length).toBe(MAX_DATA_BYTES)
  expect(memory.take(MAX_DATA_BYTES).buffer).not.toBe(first.buffer)
})

test('what nobody has given back is never handed out twice', () => {
  const memory = new FrameMemory()
  const taken = Array.from({ length: 20 }, () => memory.take(MAX_DATA_BYTES).buffer)
  expect(new Set(taken).size).toBe(20)
})

test('neither small frames nor any number of large ones are kept', () => {
  const memory = new FrameMemory()
  for (const bytes of [1, 1000, 60_000, MAX_FRAME_BYTES]) {
    const small = memory.take(bytes)
    expect(small.length).toBe(bytes)
    memory.giveBack(small)
    expect(memory.take(MAX_DATA_BYTES).buffer).not.toBe(small.buffer)
  }
  const many = Array.from({ length: 20 }, () => memory.take(MAX_DATA_BYTES))
  for (const one of many) memory.giveBack(one)
  const again = Array.from({ length: 20 }, () => memory.take(MAX_DATA_BYTES).buffer)
  const known = new Set(many.map((one) => one.buffer))
  expect(again.filter((buffer) => known.has(buffer)).length).toBe(9)
})

test('after it has been cleared, it begins anew', () => {
  const memory = new FrameMemory()
  const first = memory.take(MAX_DATA_BYTES)
  memory.giveBack(first)
  memory.clear()
  expect(memory.take(MAX_DATA_BYTES).buffer).not.toBe(first.buffer)
})
