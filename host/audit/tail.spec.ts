import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { unending } from '../lifetimes.ts'
import { linesFromEnd } from './tail.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tail-'))
  path = join(folder, 'audit.jsonl')
})
afterEach(() => rmSync(folder, { recursive: true }))

async function read(maxBytes = Number.MAX_SAFE_INTEGER): Promise<string[]> {
  const lines: string[] = []
  for await (const line of linesFromEnd(path, maxBytes, unending())) lines.push(line)
  return lines
}

test('every whole line once, the last first, however long they are', async () => {
  const line = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 30 }),
    fc.nat({ max: 700_000 }).map((length) => 'x'.repeat(length)),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        line.map((text) => text.replaceAll('\n', ' ')),
        { maxLength: 12 },
      ),
      async (lines) => {
        writeFileSync(path, lines.map((text) => `${text}\n`).join(''))
        expect((await read()).map((text) => text.length)).toEqual(lines.map((text) => text.length).reverse())
        expect(await read()).toEqual([...lines].reverse())
      },
    ),
    { numRuns: 60 },
  )
})

test('a line that is still being written is not one yet', async () => {
  writeFileSync(path, 'one\ntwo\nthr')
  expect(await read()).toEqual(['two', 'one'])
  writeFileSync(path, 'on')
  expect(await read()).toEqual([])
})

test('what lies further back than asked is left, and so is the line that the bound cuts', async () => {
  writeFileSync(path, 'one\ntwo\nthree\n')
  expect(await read(7)).toEqual(['three'])
  expect(await read(10)).toEqual(['three'])
  expect(await read(11)).toEqual(['three', 'two'])
  expect(await read(14)).toEqual(['three', 'two', 'one'])
})

test('a log that is not there', async () => {
  expect(await read()).toEqual([])
})
