import { expect, test } from 'vitest'
import { Broadcast, type Heard } from './broadcast.ts'

interface Piece {
  bytes: Uint8Array
}
const NEVER = 60_000
const piece = (size: number): Piece => ({ bytes: new Uint8Array(size) })
const open = () => new Broadcast<Piece, string>()
const sizeOf = (heard: Heard<Piece, string> | 'silent' | undefined) =>
  typeof heard === 'object' && heard.type === 'piece' ? heard.piece.bytes.length : heard

/** Whether it has happened by now. */
async function isOver(work: Promise<unknown>): Promise<boolean> {
  let over = false
  void work.then(() => {
    over = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  return over
}

test('with nobody there, everything is let go of', async () => {
  const output = open()
  for (let count = 0; count < 1000; count += 1) await output.push(piece(1024 * 1024))
  output.finish('over')
  expect(await output.listen().next(NEVER)).toEqual({ type: 'end', end: 'over' })
})

test('every reader hears all from when it came, in order, and then the end, again and again', async () => {
  const output = open()
  const first = output.listen()
  await output.push(piece(1))
  const second = output.listen()
  await output.push(piece(2))
  output.finish('over')
  expect([sizeOf(await first.next(NEVER)), sizeOf(await first.next(NEVER))]).toEqual([1, 2])
  expect(sizeOf(await second.next(NEVER))).toBe(2)
  for (const reader of [first, first, second]) expect(await reader.next(NEVER)).toEqual({ type: 'end', end: 'over' })
})

test('the slowest reader sets the pace, until it reads or goes', async () => {
  const output = open()
  const quick = output.listen()
  const slow = output.listen()
  const pushed = output.push(piece(1024 * 1024))
  expect(sizeOf(await quick.next(NEVER))).toBe(1024 * 1024)
  expect(await isOver(pushed)).toBe(false)
  expect(sizeOf(await slow.next(NEVER))).toBe(1024 * 1024)
  expect(await isOver(pushed)).toBe(true)
  const again = output.push(piece(1024 * 1024))
  await quick.next(NEVER)
  expect(await isOver(again)).toBe(false)
  slow.close()
  expect(await isOver(again)).toBe(true)
  expect(await slow.next(NEVER)).toBeUndefined()
  await output.push(piece(100))
  expect(sizeOf(await quick.next(NEVER))).toBe(100)
})

test('who waits is woken by a piece, the end, silence, or being closed', async () => {
  const output = open()
  const reader = output.listen()
  const heard = reader.next(NEVER)
  await output.push(piece(3))
  expect(sizeOf(await heard)).toBe(3)
  expect(await reader.next(1)).toBe('silent')
  const closed = reader.next(NEVER)
  reader.close()
  expect(await closed).toBeUndefined()
  const other = output.listen()
  const end = other.next(NEVER)
  output.finish('over')
  expect(await end).toEqual({ type: 'end', end: 'over' })
})
