import { expect, test } from 'vitest'
import { unending } from '../lifetimes.ts'
import { HostNames } from './host-names.ts'

test('names are what this machine says, asked at once or one by one; what is none, or comes too late, has no address', async () => {
  const names = new HostNames()
  const all = await Promise.all(Array.from({ length: 20 }, () => names.addresses('localhost', unending())))
  for (const addresses of all) expect(addresses).toEqual(all[0])
  expect(all[0]?.every((address) => address === '127.0.0.1' || address === '::1')).toBe(true)
  expect(all[0]).not.toEqual([])
  expect(await names.addresses('localhost', unending())).toEqual(all[0])
  expect(await names.addresses('no name', unending())).toEqual([])
  expect(await new HostNames().addresses('localhost', AbortSignal.abort())).toEqual([])
})
