import { expect, test } from 'vitest'
import { settledOutput, watchOutput, whenOutputFails } from './output.ts'

test('a failure that is told when the verb has ended is its exit code all the same, and the first one is', async () => {
  const asked: number[] = []
  watchOutput()
  whenOutputFails((exitCode) => asked.push(exitCode))
  expect(await settledOutput()).toBeUndefined()
  process.stdout.emit('error', Object.assign(new Error('no readers'), { code: 'EPIPE' }))
  process.stdout.emit('error', Object.assign(new Error('no room'), { code: 'ENOSPC' }))
  expect(await settledOutput()).toBe(141)
  expect(asked).toEqual([141])
})
