import { type Door, Fault } from '@caisson/wire'
import { expect, test } from 'vitest'
import { SharedDoor } from './shared-door.ts'

function counted(): { doors: SharedDoor<Door>; log: string[]; fail: (error: Error | undefined) => void } {
  const log: string[] = []
  let failure: Error | undefined
  const doors = new SharedDoor(async () => {
    if (failure !== undefined) throw failure
    log.push('open')
    return { close: async () => void log.push('close') } as Door
  })
  const fail = (error: Error | undefined) => {
    failure = error
  }
  return { doors, log, fail }
}
const unaborted = () => new AbortController().signal

test('opens once for all, and closes when the last has let go', async () => {
  const { doors, log } = counted()
  const [first, second] = await Promise.all([doors.acquire(unaborted()), doors.acquire(unaborted())])
  expect(first).toBe(second)
  await doors.release()
  expect(log).toEqual(['open'])
  await doors.release()
  expect(log).toEqual(['open', 'close'])
})

test('opens again for who comes while it closes', async () => {
  const { doors, log } = counted()
  await doors.acquire(unaborted())
  await Promise.all([doors.release(), doors.acquire(unaborted())])
  expect(log).toEqual(['open', 'close', 'open'])
})

test('it may stay open for whoever comes soon; when nothing is left to do it closes', async () => {
  const { doors, log } = counted()
  await doors.acquire(unaborted())
  doors.releaseLater()
  await doors.acquire(unaborted())
  process.emit('beforeExit', 0)
  expect(log).toEqual(['open'])
  doors.releaseLater()
  process.emit('beforeExit', 0)
  await expect.poll(() => log).toEqual(['open', 'close'])
  await doors.acquire(unaborted())
  doors.releaseLater()
  await expect.poll(() => log, { timeout: 5000 }).toEqual(['open', 'close', 'open', 'close'])
})

test('a host that could not be opened is tried again for the next one', async () => {
  const { doors, log, fail } = counted()
  fail(new Fault('SETUP_INCOMPLETE', 'no keeper'))
  await expect(doors.acquire(unaborted())).rejects.toMatchObject({ code: 'SETUP_INCOMPLETE' })
  fail(undefined)
  await doors.acquire(unaborted())
  await doors.release()
  expect(log).toEqual(['open', 'close'])
})

test('an aborted caller opens nothing', async () => {
  const { doors, log } = counted()
  await expect(doors.acquire(AbortSignal.abort())).rejects.toMatchObject({ code: 'CANCELLED' })
  expect(log).toEqual([])
})
