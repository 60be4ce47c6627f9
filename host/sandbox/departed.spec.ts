import { expect, test } from 'vitest'
import { Departed } from './departed.ts'

const HOUR_MS = 3_600_000

/** All that are forgotten now, in that order. */
function forgotten(departed: Departed, nowMs: number): string[] {
  const ids: string[] = []
  for (let id = departed.forget(nowMs); id !== undefined; id = departed.forget(nowMs)) ids.push(id)
  return ids
}

test('each is remembered for a day, in whatever order they were heard of', () => {
  const departed = new Departed()
  for (const [id, owner, hours] of [
    ['i3', 'ada', 3],
    ['i1', 'ada', 1],
    ['i2', 'bob', 2],
    ['i4', 'ada', 4],
  ] as const) {
    departed.add(owner, { id, goneMs: hours * HOUR_MS })
  }
  expect(forgotten(departed, 24 * HOUR_MS)).toEqual([])
  expect(forgotten(departed, 25 * HOUR_MS)).toEqual(['i1'])
  expect(forgotten(departed, 27 * HOUR_MS).sort()).toEqual(['i2', 'i3'])
  expect(forgotten(departed, 50 * HOUR_MS)).toEqual(['i4'])
})

test('of too many, the oldest of whoever has the most is forgotten, and nobody else’s', () => {
  const departed = new Departed()
  departed.add('bob', { id: 'bobs', goneMs: 0 })
  for (let number = 0; number < 10_009; number += 1) departed.add('ada', { id: `i${number}`, goneMs: 1 + number })
  expect(forgotten(departed, HOUR_MS)).toEqual(Array.from({ length: 10 }, (_, number) => `i${number}`))
  expect(forgotten(departed, HOUR_MS)).toEqual([])
})
