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
  wall = 'container'

  isOutdone(): Promise<boolean> {
    return Promise.resolve(this.outdone)
  }

  async prepare(): Promise<Waiting> {
    this.made += 1
    const end = async () => {
      this.ended += 1
    }
    const cell = { death: new Promise(() => undefined), [Symbol.asyncDispose]: end }
    return { plan: { wall: this.wall }, cell, live: { letGo: () => cell } } as unknown as Waiting
  }
}

function opened(creating: Counted, refuse: () => void = () => undefined): Pool {
  pool = new Pool(true, {
    creating,
    admission: { refuse },
    evicted: () => undefined,
    contextsChanged: () => undefined,
    notice: () => undefined,
  })
  return pool
}

/** Somebody asks for one of that kind, does not find it, and gets one that was made for them. */
function ask(from: Pool, memoryMiB: number, owner = 'one'): void {
  const done = from.busy()
  from.take({ memoryMiB }, owner)
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
  expect(from.take({ memoryMiB: 199 }, 'one')).toBeDefined()
  expect(from.take({ memoryMiB: 100 }, 'one')).toBeUndefined()
  expect(creating.made - creating.ended).toBeLessThanOrEqual(17)
})

/** So many come at once. How many of them found one. */
function crowd(from: Pool, count: number, memoryMiB = 100, owner = 'one'): number {
  const before = from.count.hits
  const done = from.busy()
  for (let left = count; left > 0; left -= 1) from.take({ memoryMiB }, owner)
  done()
  return from.count.hits - before
}

const filled = (from: Pool) => vi.waitFor(() => expect(from.count.waiting).toBe(from.count.wanted), { timeout: 20_000, interval: 1 })

test('a crowd finds as many waiting as came the last time, and what is left over each time is let go by halves', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'Date'] })
  try {
    const creating = new Counted()
    const from = opened(creating)
    from.expect({ memoryMiB: 100 }, 2)
    await filled(from)
    expect(crowd(from, 7)).toBe(2)
    await filled(from)
    expect(crowd(from, 7)).toBe(7)
    // For a minute after the last who found none, it stays so.
    for (let second = 0; second < 60; second += 15) {
      await filled(from)
      expect(crowd(from, 2)).toBe(2)
      expect(from.count.wanted).toBe(7)
      await vi.advanceTimersByTimeAsync(15_000)
    }
    const wanted = []
    for (let second = 0; second < 90; second += 15) {
      await filled(from)
      expect(crowd(from, 2)).toBe(2)
      await vi.advanceTimersByTimeAsync(15_000)
      wanted.push(from.count.wanted)
    }
    expect(wanted).toEqual([4, 3, 2, 2, 2, 2])
    await filled(from)
    expect(creating.made - creating.ended - from.count.hits).toBe(2)
  } finally {
    vi.useRealTimers()
  }
})

test('however many come, and of however many kinds, what waits for them is bounded; of heavy walls by less', async () => {
  const creating = new Counted()
  const from = opened(creating)
  for (let memoryMiB = 100; memoryMiB < 110; memoryMiB += 1) {
    from.expect({ memoryMiB }, 1)
    await filled(from)
    crowd(from, 100, memoryMiB)
    await filled(from)
  }
  expect(from.count.wanted).toBeGreaterThan(8 + 9)
  expect(from.count.wanted).toBeLessThanOrEqual(64 + 9)
  creating.wall = 'microvm'
  const before = from.count.wanted
  from.expect({ memoryMiB: 200 }, 1)
  await filled(from)
  crowd(from, 100, 200)
  await filled(from)
  expect(from.count.wanted - before).toBe(8)
})

test('kinds that one owner makes up push out none that others want, and behind heavy walls it has no more of them than there may be of one, but for the first of each', async () => {
  const creating = new Counted()
  creating.wall = 'microvm'
  const from = opened(creating)
  crowd(from, 3, 50, 'other')
  for (const owner of ['one', 'other']) ask(from, 60, owner)
  await filled(from)
  const before = from.count.wanted
  for (let memoryMiB = 100; memoryMiB < 140; memoryMiB += 1) {
    crowd(from, 20, memoryMiB)
    await filled(from)
    expect(from.count.waiting - before).toBeLessThanOrEqual(8 + 15)
  }
  expect(crowd(from, 5, 50, 'other')).toBe(3)
  expect(crowd(from, 5, 60, 'third')).toBe(2)
})

test('as many as were expected wait for as long as it takes, whatever kinds callers make up; more than that go after a quiet minute', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'Date'] })
  try {
    const creating = new Counted()
    const from = opened(creating)
    from.expect({ memoryMiB: 100 }, 20)
    await filled(from)
    expect(crowd(from, 25)).toBe(20)
    expect(from.count.wanted).toBe(25)
    for (let memoryMiB = 101; memoryMiB < 121; memoryMiB += 1) {
      ask(from, memoryMiB)
      await filled(from)
    }
    await vi.advanceTimersByTimeAsync(75_000)
    await filled(from)
    await vi.advanceTimersByTimeAsync(3_600_000)
    await filled(from)
    expect(from.count).toMatchObject({ waiting: 20, wanted: 20 })
    expect(from.take({ memoryMiB: 100 }, 'one')).toBeDefined()
  } finally {
    vi.useRealTimers()
  }
})

test('the kind of which the smallest share waits is made first', async () => {
  const creating = new Counted()
  const from = opened(creating)
  const done = from.busy()
  from.expect({}, 40)
  from.take({ memoryMiB: 100 }, 'one')
  const asked: unknown[] = []
  const prepare = creating.prepare.bind(creating)
  vi.spyOn(creating, 'prepare').mockImplementation((...made: unknown[]) => {
    asked.push((made[0] as CreateRequest).memoryMiB)
    return prepare()
  })
  done()
  await filled(from)
  expect(asked).toHaveLength(41)
  expect(asked.indexOf(100)).toBeLessThan(2)
})

test('a machine that has no room left gets back what waits for nobody, by halves', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'Date'] })
  try {
    const creating = new Counted()
    let isFull = false
    const from = opened(creating, () => {
      if (isFull) throw new Fault('OVERLOADED', 'only 1 MiB of memory is left on this machine')
    })
    from.expect({}, 20)
    await filled(from)
    isFull = true
    const left = []
    for (let tick = 0; tick < 3; tick += 1) {
      await vi.advanceTimersByTimeAsync(15_000)
      left.push(from.count.waiting)
    }
    expect(left).toEqual([10, 5, 2])
    isFull = false
    await vi.advanceTimersByTimeAsync(15_000)
    await filled(from)
    expect(from.count.waiting).toBe(20)
  } finally {
    vi.useRealTimers()
  }
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
  from.take(waiting, 'one')
  done()
  await vi.waitFor(() => expect(from.count.waiting).toBe(from.count.wanted), { timeout: 20_000, interval: 1 })
  expect(from.take(asked, 'one')).toBeUndefined()
})

test('one that waits is handed out whatever it is to be called, and to whoever says the same in another order', async () => {
  const from = opened(new Counted())
  const done = from.busy()
  from.take({ scan: 'off', memoryMiB: 100, env: { A: 'b' }, timeoutMs: 1 }, 'one')
  done()
  await vi.waitFor(() => expect(from.count.waiting).toBe(1), { timeout: 20_000, interval: 1 })
  expect(from.take({ memoryMiB: 100, scan: 'off', metadata: { a: 'b' }, leash: 'none' }, 'one')).toBeDefined()
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
