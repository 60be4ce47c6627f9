import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { within } from './deadline.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** How many of a hundred waits have ended, when nothing holds their signals but who waits. */
async function ended(make: (signal: AbortSignal) => AbortSignal): Promise<number> {
  const caller = new AbortController()
  let count = 0
  for (let index = 0; index < 100; index += 1) {
    make(caller.signal).addEventListener('abort', () => {
      count += 1
    })
  }
  await new Promise((resolve) => setImmediate(resolve))
  collect()
  await expect
    .poll(() => count)
    .toBe(100)
    .catch(() => undefined)
  return count
}

describe('a deadline', () => {
  test('comes, whatever garbage was collected before', async () => {
    expect(await ended((signal) => within(50, signal))).toBe(100)
  })

  test('is the caller’s wish when that comes first, with its reason, and the timeout’s otherwise', async () => {
    const caller = new AbortController()
    const waiting = within(60_000, caller.signal)
    expect(waiting.aborted).toBe(false)
    caller.abort(new Error('enough'))
    expect(waiting.reason).toEqual(new Error('enough'))
    expect(within(60_000, caller.signal).reason).toEqual(new Error('enough'))
    const late = within(1, new AbortController().signal)
    await expect.poll(() => late.aborted).toBe(true)
    expect(late.reason).toMatchObject({ name: 'TimeoutError', message: 'not done within 1 ms' })
  })
})
