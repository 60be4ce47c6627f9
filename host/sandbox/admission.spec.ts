import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { settled, unending } from '../lifetimes.ts'
import { Admission } from './admission.ts'

test('no owner waits for all that another has to make: each has its turn', async () => {
  const admission = new Admission(tmpdir())
  const begun: string[] = []
  const over = settled<void>()
  const make = (owner: string) =>
    admission.inTurn(
      owner,
      async () => {
        begun.push(owner)
        await over.promise
      },
      unending(),
    )
  // As many as wait at most, and then one of somebody else.
  const many: Promise<unknown>[] = []
  let refused = 0
  for (; refused === 0 && many.length < 10_000; await Promise.resolve()) {
    many.push(
      make('mallory').catch(() => {
        refused += 1
      }),
    )
  }
  expect(refused).toBeGreaterThan(0)
  const atOnce = begun.length
  const other = make('bob')
  over.resolve()
  await Promise.all([...many, other])
  expect(begun.indexOf('bob')).toBeLessThanOrEqual(atOnce + 1)
  expect(begun.filter((owner) => owner === 'mallory')).toHaveLength(many.length - refused)
})
