import { expect, test } from 'vitest'
import { Onlookers, orAborted, refuseAborted, settled, Undos } from './lifetimes.ts'

test('undos run last in, first out, each of them, and the failures are joined', async () => {
  const order: number[] = []
  const undos = new Undos()
  for (const number of [1, 2, 3, 4]) {
    undos.add(async () => {
      order.push(number)
      if (number % 2 === 0) throw new Error(`undo ${number}`)
    })
  }
  const failure = await undos[Symbol.asyncDispose]().catch((caught: unknown) => caught)
  expect(order).toEqual([4, 3, 2, 1])
  expect((failure as AggregateError).errors.map((one: Error) => one.message)).toEqual(['undo 4', 'undo 2'])
})

test('what has been moved is undone by its new owner only', async () => {
  let undone = 0
  const make = async () => {
    await using undos = new Undos()
    undos.add(() => {
      undone += 1
    })
    return undos.move()
  }
  const owner = await make()
  expect(undone).toBe(0)
  await owner[Symbol.asyncDispose]()
  await owner[Symbol.asyncDispose]()
  expect(undone).toBe(1)
})

test('waiting ends with the work or with the abort, and the reason of an abort is kept', async () => {
  const abort = new AbortController()
  expect(await orAborted(Promise.resolve(5), abort.signal)).toBe(5)
  await expect(orAborted(Promise.reject(new Error('of its own')), abort.signal)).rejects.toThrow('of its own')
  const never = settled<void>()
  const waiting = orAborted(never.promise, abort.signal)
  abort.abort(new Error('enough'))
  await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED', cause: { message: 'enough' } })
  expect(() => refuseAborted(abort.signal)).toThrow(expect.objectContaining({ code: 'CANCELLED' }))
})

test('whoever waits is told of the end, once, and whoever has stopped waiting is not', async () => {
  const end = settled<string>()
  const onlookers = new Onlookers(end.promise)
  const told: string[] = []
  onlookers.add((how) => told.push(`first ${how}`))
  const stop = onlookers.add((how) => told.push(`second ${how}`))
  stop()
  end.resolve('over')
  await end.promise
  expect(told).toEqual(['first over'])
  onlookers.add((how) => told.push(`late ${how}`))
  onlookers.add((how) => told.push(`never ${how}`))()
  expect(told).toHaveLength(1)
  await Promise.resolve()
  expect([told, onlookers.count]).toEqual([['first over', 'late over'], 0])
})

test('a race with the end leaves nobody waiting, whoever wins', async () => {
  const end = settled<string>()
  const onlookers = new Onlookers(end.promise)
  for (let turn = 0; turn < 1000; turn += 1) expect(await onlookers.orEnd(Promise.resolve(turn))).toBe(turn)
  await expect(onlookers.orEnd(Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(onlookers.count).toBe(0)
  const racing = onlookers.orEnd(settled<number>().promise)
  expect(onlookers.count).toBe(1)
  end.resolve('over')
  await expect(racing).resolves.toBe('over')
  expect(onlookers.count).toBe(0)
})
