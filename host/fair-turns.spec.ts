import { expect, test } from 'vitest'
import { FairTurns } from './fair-turns.ts'

/** Who had a turn, in order: each takes one as soon as it can, and gives it back at once. */
function row(turns: FairTurns) {
  const had: string[] = []
  const join = async (who: string, signal?: AbortSignal) => {
    const done = await turns.take(who, signal)
    had.push(done === null ? `${who} refused` : who)
    done?.()
  }
  return { had, join }
}

test('whoever comes after the many of another has its turn after one of them', async () => {
  const turns = new FairTurns({ atOnce: 1, ofOne: 1, waitingOfOne: 3 })
  const { had, join } = row(turns)
  const first = await turns.take('mallory')
  const all = [...Array.from({ length: 4 }, () => join('mallory')), join('bob')]
  first?.()
  await Promise.all(all)
  expect(had).toEqual(['mallory refused', 'mallory', 'bob', 'mallory', 'mallory'])
})

test('whoever gives up waiting holds nobody up, and has no turn', async () => {
  const turns = new FairTurns({ atOnce: 1, ofOne: 1, waitingOfOne: 2 })
  const { had, join } = row(turns)
  const first = await turns.take('alice')
  const leaving = new AbortController()
  const gone = [join('bob', leaving.signal), join('bob', leaving.signal)]
  leaving.abort()
  expect((await Promise.allSettled(gone)).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  const stay = [join('carol'), join('bob')]
  first?.()
  await Promise.all(stay)
  expect(had).toEqual(['carol', 'bob'])
})

test('a turn that comes in the moment in which somebody gives up is given back', async () => {
  const turns = new FairTurns({ atOnce: 1, ofOne: 1, waitingOfOne: 1 })
  const { had, join } = row(turns)
  const first = await turns.take('alice')
  const leaving = new AbortController()
  const gone = join('bob', leaving.signal)
  const stays = join('carol')
  leaving.abort()
  first?.()
  await expect(gone).rejects.toMatchObject({ code: 'CANCELLED' })
  await stays
  expect(had).toEqual(['carol'])
  expect(await turns.take('dave')).not.toBeNull()
})
