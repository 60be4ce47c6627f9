import { expect, test } from 'vitest'
import { remains, type SandboxRecord } from './record.ts'

const record = (more: Partial<SandboxRecord>) =>
  ({
    id: 'i1',
    owner: 'alice',
    reason: 'kill: on request',
    env: { TOKEN: 'secret' },
    metadata: { run: '7' },
    request: { profile: 'e2b', network: 'none' },
    plan: { wall: 'container', network: { mode: 'gate', policy: { allow: ['a.example'] } } },
    ...more,
  }) as unknown as SandboxRecord

test('of one that is gone no variable is remembered, and who it was is', () => {
  const kept = remains(record({}))
  expect(JSON.stringify(kept)).not.toContain('secret')
  expect(kept).toMatchObject({ id: 'i1', owner: 'alice', reason: 'kill: on request', metadata: { run: '7' }, request: { network: 'none' } })
})

test('what was said at great length is not remembered: ten thousand of them are', () => {
  const long = Object.fromEntries(Array.from({ length: 64 }, (_, number) => [`key${number}`, 'x'.repeat(4096)]))
  const network = { mode: 'allow', allow: ['x'.repeat(60_000)] } as unknown as NonNullable<SandboxRecord['request']['network']>
  for (const more of [{ metadata: long }, { request: { network } }]) {
    const kept = remains(record({ ...more, egress: { allowOut: ['x'.repeat(60_000)] } as unknown as SandboxRecord['egress'] }))
    expect(JSON.stringify(kept).length).toBeLessThan(8192)
    expect(kept).toMatchObject({ id: 'i1', owner: 'alice', reason: 'kill: on request', plan: { wall: 'container' } })
  }
})
