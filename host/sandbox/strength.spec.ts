import { expect, test } from 'vitest'
import { grantedWall } from './strength.ts'

test('what is asked for is given as it is, if it is strong enough', () => {
  expect(grantedWall('container', 'gvisor', 'container')).toBe('container')
  expect(grantedWall('gvisor', 'container', 'container')).toBe('gvisor')
  expect(grantedWall('gvisor', 'container', 'gvisor')).toBe('gvisor')
  expect(() => grantedWall('container', 'gvisor', 'gvisor')).toThrow(expect.objectContaining({ code: 'WALL_TOO_WEAK' }))
})

test('where nothing is asked, the usual wall is made as strong as it must be', () => {
  expect(grantedWall(undefined, 'container', 'container')).toBe('container')
  expect(grantedWall(undefined, 'container', 'gvisor')).toBe('gvisor')
  expect(grantedWall(undefined, 'gvisor', 'container')).toBe('gvisor')
})
