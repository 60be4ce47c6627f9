/** What is said about one series of measurements, all in the unit they were taken in. */
export interface Summary {
  n: number
  min: number
  p50: number
  p95: number
  max: number
}

/** Nearest rank: each percentile is a value that was measured. */
export function summary(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError('nothing was measured')
  const sorted = [...values].sort((a, b) => a - b)
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number
  return { n: sorted.length, min: rank(0), p50: rank(0.5), p95: rank(0.95), max: rank(1) }
}

/** Runs `once` again and again; what it resolves to is one measurement. `warmUp` further ones come first and are thrown away. */
export async function series(rounds: number, warmUp: number, once: () => Promise<number>): Promise<Summary> {
  for (let round = 0; round < warmUp; round++) await once()
  const values: number[] = []
  for (let round = 0; round < rounds; round++) values.push(await once())
  return summary(values)
}

/** Milliseconds that `work` took. */
export async function took(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}
