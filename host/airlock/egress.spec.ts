import { describe, expect, test } from 'vitest'
import { decide, egressOf } from './egress.ts'

const none = async () => []
const target = (name: string, port: number) => ({ name, address: null, port })

test('a configured host may be anywhere, at its own port and by its own name only', async () => {
  const egress = await egressOf('allow:registries,near.example', async () => [{ host: 'mirror.example', port: 8081 }])
  expect(decide(egress, target('mirror.example', 8081), ['127.0.0.1', '10.0.0.1', 'fd00::1'])).toMatchObject({
    verdict: 'tunnel',
    dial: ['127.0.0.1', '10.0.0.1', 'fd00::1'],
  })
  expect(decide(egress, target('mirror.example', 22), ['127.0.0.1']).verdict).toBe('deny')
  expect(decide(egress, target('near.example', 8081), ['127.0.0.1']).verdict).toBe('deny')
  expect(decide(egress, { name: null, address: '127.0.0.1', port: 8081 }, []).verdict).toBe('deny')
})

test('an object says the same and more: the preset among other rules, each once; which list wins; examples that are checked', async () => {
  const here = async () => [
    { host: 'mirror.example', port: 8081 },
    { host: 'mirror.example', port: 443 },
  ]
  const egress = await egressOf(
    {
      mode: 'allow',
      first: 'allow',
      allow: ['registries', 'mirror.example:443', { rule: '*.near.example', match: ['a.near.example'] }],
      deny: ['*.example'],
    },
    here,
  )
  expect(egress.policy.allow.map(({ text }) => text)).toEqual(['mirror.example:8081', 'mirror.example:443', '*.near.example'])
  expect(egress.file).toEqual({
    mode: 'allow',
    first: 'allow',
    allow: ['mirror.example:8081', 'mirror.example:443', { rule: '*.near.example', match: ['a.near.example'] }],
    deny: ['*.example'],
  })
  expect(decide(egress, target('a.near.example', 80), ['93.184.215.14']).verdict).toBe('tunnel')
  for (const [network, place] of [
    [{ mode: 'allow', allow: [{ rule: 'a.example', match: ['b.example'] }] }, 'network.allow.0.match.0'],
    [{ mode: 'allow', allows: [] }, 'allows'],
    [{ mode: 'closed' }, 'network.mode'],
    [{ mode: 'open', allow: ['a.example', 'A.example.'] }, 'network.allow.1'],
  ] as const) {
    await expect(egressOf(network as never, none)).rejects.toMatchObject({
      code: 'POLICY_INVALID',
      message: expect.stringContaining(place),
    })
  }
})

test('open is all that is public, and of a name only its public addresses', async () => {
  const egress = await egressOf('open', none)
  expect(decide(egress, target('a.example', 443), ['10.0.0.1', '93.184.215.14'])).toMatchObject({
    verdict: 'tunnel',
    dial: ['93.184.215.14'],
  })
  expect(decide(egress, { name: null, address: '169.254.169.254', port: 80 }, []).verdict).toBe('deny')
})

describe('what is no rule is refused by its place', () => {
  test.each([
    ['allow:10.0.0.0/33', 'network.allow.0'],
    ['allow:a.example,b..example', 'network.allow.1'],
    ['allow:*', 'network.allow.0'],
    ['allow:a.example:99999', 'network.allow.0'],
  ])('%s', async (network, place) => {
    await expect(egressOf(network, none)).rejects.toMatchObject({ code: 'POLICY_INVALID', message: expect.stringContaining(place) })
  })
})
