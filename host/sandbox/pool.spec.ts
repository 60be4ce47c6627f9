import { type CreateRequest, Fault } from '@caisson/wire'
import { afterEach, expect, test, vi } from 'vitest'
import type { Creating } from './creating.ts'
import type { Waiting } from './given.ts'
import { Pool } from './pool.ts'

let pool: Pool | undefined
afterEach(() => pool?.[Symbol.asyncDispose]())

/** Sandboxes that are nothing but counted. */
class Counted implements Pick<Creating, 'prepare' | 'isOutdone'> {
  made = 0
  ended = 0
  outdone = false

  isOutdone(): Promise<boolean> {
    return Promise.resolve(this.outdone)
  }

  async prepare(): Promise<Waiting> {
    this.made += 1
    const end = async () => {
      this.ended += 1
    }
    const cell = { death: new Promise(() => undefined), [Symbol.asyncDispose]: end }
    return { cell, agent: { close: () => undefined } } as unknown as Waiting
  }
}

function opened(creating: Counted, refuse: () => void = () => undefined): Pool {
  pool = new Pool(true, { creating, admission: { refuse }, evicted: () => undefined, notice: () => undefined })
  return pool
}

/** Somebody asks for one of that kind, does not find it, and gets one that was made for them. */
function ask(from: Pool, memoryMiB: number): void {
  const done = from.busy()
  from.take({ memoryMiB })
  done()
}

test('of kinds that a caller makes up, only so many have one waiting: those that were wanted last', async () => {
  const creating = new Counted()
  const from = opened(creating)
  for (let memoryMiB = 100; memoryMiB < 200; memoryMiB += 1) {
    ask(from, memoryMiB)
    await vi.waitFor(() => expect(from.count.waiting).toBe(from.count.wanted), { timeout: 20_000, interval: 1 })
    expect(from.count.waiting).toBeLessThanOrEqual(16)
  }
  expect(from.take({ memoryMiB: 199 })).toBeDefined()
  expect(from.take({ memoryMiB: 100 })).toBeUndefined()
  expect(creating.made - creating.ended).toBeLessThanOrEqual(17)
})

test('where the machine has no room for another, none is made for nobody', async () => {
  const creating = new Counted()
  let refused = 0
  const from = opened(creating, () => {
    refused += 1
    throw new Fault('OVERLOADED', 'only 1 MiB of memory is left on this machine')
  })
  ask(from, 100)
  await vi.waitFor(() => expect(refused).toBe(1), { timeout: 20_000 })
  expect(creating.made).toBe(0)
})

test.each<[CreateRequest, CreateRequest]>([
  [{ scan: 'off' }, {}],
  [{}, { scan: 'block' }],
  [
    { profile: 'project', folder: '/one' },
    { profile: 'project', folder: '/other' },
  ],
  [
    { profile: 'project', folder: '/one' },
    { profile: 'project', folder: '/one' },
  ],
  [{ network: 'open' }, { network: 'none' }],
])('one that waits for %j is never handed out for %j', async (waiting, asked) => {
  const from = opened(new Counted())
  const done = from.busy()
  from.take(waiting)
  done()
  await vi.waitFor(() => expect(from.count.waiting).toBe(from.count.wanted), { timeout: 20_000, interval: 1 })
  expect(from.take(asked)).toBeUndefined()
})

test('one that waits is handed out whatever it is to be called, and to whoever says the same in another order', async () => {
  const from = opened(new Counted())
  const done = from.busy()
  from.take({ scan: 'off', memoryMiB: 100, env: { A: 'b' }, timeoutMs: 1 })
  done()
  await vi.waitFor(() => expect(from.count.waiting).toBe(1), { timeout: 20_000, interval: 1 })
  expect(from.take({ memoryMiB: 100, scan: 'off', metadata: { a: 'b' }, leash: 'none' })).toBeDefined()
})

test('those that started before there was a saved state give way to restored ones', async () => {
  vi.useFakeTimers({ toFake: ['setInterval'] })
  try {
    const creating = new Counted()
    const from = opened(creating)
    from.expect({}, 2)
    await vi.waitFor(() => expect(from.count.waiting).toBe(2), { timeout: 20_000, interval: 1 })
    await vi.advanceTimersByTimeAsync(15_000)
    expect([creating.made, creating.ended]).toEqual([2, 0])
    creating.outdone = true
    await vi.advanceTimersByTimeAsync(15_000)
    creating.outdone = false
    await vi.waitFor(() => expect([creating.made, creating.ended, from.count.waiting]).toEqual([4, 2, 2]), { timeout: 20_000, interval: 1 })
  } finally {
    vi.useRealTimers()
  }
})
