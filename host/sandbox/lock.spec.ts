import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lock } from './lock.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lock-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('one holder at a time, each in its turn', async () => {
  const signal = new AbortController().signal
  let inside = 0
  let most = 0
  await Promise.all(
    Array.from({ length: 5 }, async () => {
      await using _held = await lock(join(folder, 'l'), signal)
      inside += 1
      most = Math.max(most, inside)
      await new Promise((resolve) => setImmediate(resolve))
      inside -= 1
    }),
  )
  expect([inside, most]).toEqual([0, 1])
})

test('waiting can be aborted, and the next one still gets it', async () => {
  const signal = new AbortController().signal
  const abort = new AbortController()
  {
    await using _held = await lock(join(folder, 'l'), signal)
    const waiting = lock(join(folder, 'l'), abort.signal)
    abort.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' })
  }
  await using _held = await lock(join(folder, 'l'), signal)
})

test('a place where nothing can be locked is an error', async () => {
  await expect(lock(join(folder, 'missing', 'l'), new AbortController().signal)).rejects.toMatchObject({ code: 'LAUNCH_FAILED' })
})
