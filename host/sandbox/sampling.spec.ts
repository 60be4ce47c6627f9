import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Resident } from './resident.ts'
import { Sampling } from './sampling.ts'

const MINUTE_MS = 60_000
const USED = {
  cpuUsedUs: 0,
  memoryUsedBytes: 1,
  memoryTotalBytes: 2,
  memoryCacheBytes: 0,
  diskUsedBytes: 1,
  diskTotalBytes: 2,
  processes: 1,
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** One that counts how often it was measured. */
class Measured {
  times = 0
  lastEnteredMs = 0
  readonly record = { state: 'running', startedMs: Date.now(), plan: { limits: { cpuMilli: 1000 } } }
  readonly live = {
    metrics: async () => {
      this.times += 1
      return USED
    },
  }
}

function measured(count: number): Measured[] {
  return Array.from({ length: count }, () => new Measured())
}

const sampling = (all: readonly Measured[]) => new Sampling(() => all as unknown as Resident[])
const sum = (all: readonly Measured[]) => all.reduce((times, one) => times + one.times, 0)

test('two thousand that came at once and do nothing are measured in turn, every five minutes', async () => {
  const all = measured(2000)
  using _ = sampling(all)
  await vi.advanceTimersByTimeAsync(MINUTE_MS)
  expect(sum(all)).toBe(0)
  await vi.advanceTimersByTimeAsync(4 * MINUTE_MS)
  const before = sum(all)
  await vi.advanceTimersByTimeAsync(5000)
  expect(sum(all) - before).toBeLessThanOrEqual(34)
  await vi.advanceTimersByTimeAsync(5 * MINUTE_MS)
  expect(all.filter(({ times }) => times === 0)).toEqual([])
  expect(sum(all)).toBeLessThan(2 * 2000)
})

test('one that somebody talks with is measured every five seconds, and one that is asked for at once', async () => {
  const [active, idle] = measured(2) as [Measured, Measured]
  using all = sampling([active, idle])
  for (let turn = 0; turn < 12; turn += 1) {
    active.lastEnteredMs = Date.now()
    await vi.advanceTimersByTimeAsync(5000)
  }
  expect(active.times).toBeGreaterThanOrEqual(11)
  expect(idle.times).toBeLessThanOrEqual(1)
  const [sample] = await all.of(idle as unknown as Resident, { fromMs: Date.now() - 1000, toMs: Date.now() + 1000 })
  expect(sample).toMatchObject({ memoryUsedBytes: 1, cpus: 1 })
})
