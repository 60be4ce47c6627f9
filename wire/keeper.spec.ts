import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { EndReason, KeeperEvent, KeeperRequest } from './keeper.ts'

const source = (path: string) => readFile(new URL(`../native/keeper/src/${path}`, import.meta.url), 'utf8')

test('keeper and host know the same reasons and the same requests', async () => {
  const rust = await source('control.rs')
  const variants = (name: string) => [
    ...(new RegExp(`pub enum ${name} \\{([\\s\\S]*?)\\n\\}`).exec(rust)?.[1] ?? '').matchAll(/^ {4}(\w+)/gm),
  ]
  expect(variants('Reason').map(([, name = '']) => name.charAt(0).toLowerCase() + name.slice(1))).toEqual(EndReason.options)
  const ops = KeeperRequest.options.map((option) => option.shape.op.value)
  expect(
    variants('Request')
      .map(([, name = '']) => name.charAt(0).toLowerCase() + name.slice(1))
      .sort(),
  ).toEqual([...ops].sort())
})

test.each([
  ['an event that is not known', { event: 'party' }],
  ['an event with more in it than is known', { event: 'limit', reason: 'memory', detail: '', extra: 1 }],
  ['an event with less in it', { event: 'limit', reason: 'memory' }],
  ['a reason that is not known', { event: 'limit', reason: 'boredom', detail: '' }],
])('%s is refused', (_what, event) => {
  expect(KeeperEvent.safeParse(event).success).toBe(false)
})
