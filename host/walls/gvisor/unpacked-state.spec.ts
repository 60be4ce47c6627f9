import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { unpackState } from './unpacked-state.ts'

const signal = new AbortController().signal
const MIB = 1024 * 1024
const number = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const TEXT = Buffer.from('{"_timestamp":"now"}')
const HEAD = Buffer.concat([Buffer.from('gVisorSF'), number(0), number(TEXT.length), TEXT, randomBytes(32)])
const MEMORY = Buffer.concat([Buffer.alloc(MIB, 'abc'), randomBytes(MIB), Buffer.alloc(100_001, 'z')])

/** As runsc writes it. */
function state(head = HEAD, memory = MEMORY, pieceBytes = MIB): Buffer {
  const parts = [head, number(pieceBytes)]
  for (let at = 0; at < memory.length; at += pieceBytes) {
    const packed = deflateRawSync(memory.subarray(at, at + pieceBytes), { level: 1 })
    parts.push(number(packed.length), packed)
  }
  return Buffer.concat(parts)
}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cai-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('what it holds stays the same, in small pieces of the size that is said, none of them compressed', async () => {
  const path = join(folder, 'checkpoint.img')
  await writeFile(path, state())
  expect(await unpackState(path, signal)).toBe(true)
  const made = await readFile(path)
  expect(made.subarray(0, HEAD.length)).toEqual(HEAD)
  const pieceBytes = made.readUInt32BE(HEAD.length)
  const held: Buffer[] = []
  for (let at = HEAD.length + 4; at < made.length; ) {
    const size = made.readUInt32BE(at)
    held.push(inflateRawSync(made.subarray(at + 4, at + 4 + size)))
    expect(size).toBeGreaterThan(held.at(-1)?.length ?? 0)
    at += 4 + size
  }
  expect(held.slice(0, -1).every(({ length }) => length === pieceBytes)).toBe(true)
  expect(Buffer.concat(held).equals(MEMORY)).toBe(true)
  expect(await readdir(folder)).toEqual(['checkpoint.img'])
})

const CUT = state().subarray(0, -5)
test.each([
  ['of another form', Buffer.from('gVisorXX and more of it')],
  ['with a text that goes beyond its end', Buffer.concat([HEAD.subarray(0, 8), number(0xffffffff), HEAD.subarray(12), Buffer.alloc(100)])],
  ['with pieces of no size', state(HEAD, Buffer.alloc(0), 0)],
  ['with a piece that grows beyond its size', Buffer.concat([HEAD, number(1000), state(HEAD, MEMORY, MIB).subarray(HEAD.length + 4)])],
  ['cut short', CUT],
  ['empty', Buffer.alloc(0)],
])('one %s is left as it is', async (_what, bytes) => {
  const path = join(folder, 'other.img')
  await writeFile(path, bytes)
  expect(await unpackState(path, signal)).toBe(false)
  expect((await readFile(path)).equals(bytes)).toBe(true)
  expect(await readdir(folder)).not.toContain('other.img.unpacked')
})

test('a link in its place is not followed', async () => {
  const path = join(folder, 'link.img')
  await symlink(join(folder, 'checkpoint.img'), path)
  await expect(unpackState(path, signal)).rejects.toThrow(/ELOOP/)
})
