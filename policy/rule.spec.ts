import { afterEach, expect, test, vi } from 'vitest'
import { readPolicy } from './network.ts'
import { wildcard } from './rules/wildcard.ts'

afterEach(() => vi.restoreAllMocks())

test('where a kind of rule breaks its own examples, no policy is loaded, not even one without rules', () => {
  // As it is so often written: it forgets the dot.
  vi.spyOn(wildcard, 'read').mockImplementation((host) => ({
    text: host,
    corners: [],
    covers: ({ name }) => name?.endsWith(host.replace('*.', '')) === true,
  }))
  for (const policy of [{ mode: 'none' }, { mode: 'open' }, { mode: 'allow', allow: ['example.com'] }]) {
    expect(() => readPolicy(policy, 'network')).toThrow(
      'policy/rules/wildcard.not.0: the rule "*.example.com" covers its example "example.com"',
    )
  }
})
