import { expect, test, vi } from 'vitest'
import { readPolicy } from './network.ts'
import type { Kind } from './rules/kind.ts'

/** The wildcard as it is so often written: it forgets the dot. */
vi.mock('./rules/shelf.ts', async (original) => {
  const shelf = await original<Record<string, Kind> & { wildcard: Kind }>()
  const read: Kind['read'] = (host) => ({
    text: host,
    corners: [],
    covers: ({ name }) => name?.endsWith(host.replace('*.', '')) === true,
  })
  return { ...shelf, wildcard: { ...shelf.wildcard, read } }
})

test('where a kind of rule breaks its own examples, no policy is loaded, not even one without rules', () => {
  for (const policy of [{ mode: 'none' }, { mode: 'open' }, { mode: 'allow', allow: ['example.com'] }]) {
    expect(() => readPolicy(policy, 'network')).toThrow(
      'policy/rules/wildcard.not.0: the rule "*.example.com" covers its example "example.com"',
    )
  }
})
