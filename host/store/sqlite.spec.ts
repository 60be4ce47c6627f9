import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SqliteStore } from './sqlite.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'store-'))
  path = join(folder, 'caisson.db')
})
afterEach(() => rmSync(folder, { recursive: true }))

test('what was put is there again, in order, each kind by itself', async () => {
  {
    await using store = SqliteStore.open(path)
    await store.put('sandbox', 'b', { state: 'running' })
    await store.put('sandbox', 'a', { text: 'é\u{1f600}\u0000' })
    await store.put('sandbox', 'b', { state: 'paused' })
    await store.put('key', 'b', {})
    await store.remove('sandbox', 'none')
  }
  await using store = SqliteStore.open(path)
  expect(await store.all('sandbox')).toEqual([
    { id: 'a', document: { text: 'é\u{1f600}\u0000' } },
    { id: 'b', document: { state: 'paused' } },
  ])
  await store.remove('sandbox', 'a')
  expect(await store.all('sandbox')).toHaveLength(1)
  expect(await store.all('key')).toHaveLength(1)
})

test('a damaged database is refused, kept as it is, and copied', async () => {
  {
    await using store = SqliteStore.open(path)
    for (let count = 0; count < 200; count += 1) await store.put('sandbox', `${count}`, { text: 'x'.repeat(500) })
  }
  const bytes = readFileSync(path)
  expect(bytes.length).toBeGreaterThan(60_000)
  bytes.fill(0x5a, 4096, 60_000)
  writeFileSync(path, bytes)
  expect(() => SqliteStore.open(path)).toThrow(
    expect.objectContaining({ code: 'STORE_UNUSABLE', message: expect.stringContaining('damaged') }),
  )
  expect(readFileSync(path).equals(bytes)).toBe(true)
  expect(readdirSync(folder).filter((name) => name.includes('damaged'))).toHaveLength(1)
})

test('what is no database, and what a newer version wrote, is refused', async () => {
  writeFileSync(path, 'not a database at all, but long enough to have a header of one, or so one would think; it goes on and on and on')
  expect(() => SqliteStore.open(path)).toThrow(expect.objectContaining({ code: 'STORE_UNUSABLE' }))
  const newer = join(folder, 'newer.db')
  {
    await using _ = SqliteStore.open(newer)
  }
  const { default: Database } = await import('libsql')
  const database = new Database(newer)
  database.exec('PRAGMA user_version = 99')
  database.close()
  expect(() => SqliteStore.open(newer)).toThrow(expect.objectContaining({ message: expect.stringContaining('newer version') }))
})

test('one that another program has locked says so; what was known stays, and what comes later is kept', { timeout: 60_000 }, async () => {
  await using store = SqliteStore.open(path)
  await store.put('key', 'a', {})
  const { default: Database } = await import('libsql')
  const other = new Database(path)
  other.exec('BEGIN IMMEDIATE')
  const locked = { code: 'STORE_UNUSABLE', message: `${path}: database is locked`, hint: expect.stringContaining('Let go of the lock') }
  await expect(store.put('key', 'b', {})).rejects.toMatchObject(locked)
  expect(await store.all('key')).toHaveLength(1)
  other.exec('ROLLBACK')
  other.close()
  await store.put('key', 'b', {})
  expect(await store.all('key')).toHaveLength(2)
})
