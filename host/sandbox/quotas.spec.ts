import { describe, expect, test } from 'vitest'
import { Quotas } from './quotas.ts'
import type { Quotas as Agreed, SandboxRecord } from './record.ts'

const MIB = 1024 * 1024
const CLAIM = { memoryMiB: 512, cpus: 1 }
const owner = (quotas: Partial<Agreed>) => ({
  name: 'alice',
  quotas: { sandboxes: null, createsPerSecond: null, cpus: null, memoryMiB: null, ...quotas },
})

function sandbox(more: Partial<SandboxRecord> = {}): SandboxRecord {
  const plan = { limits: { memoryBytes: 512 * MIB, cpuMilli: 1000 } }
  return { owner: 'alice', state: 'running', lifecycle: { autoResume: true }, plan, ...more } as SandboxRecord
}

const exceeded = (message: string) => expect.objectContaining({ code: 'QUOTA_EXCEEDED', message, retryAfterS: 2 })

describe('what an owner may have', () => {
  test.each([
    [{ sandboxes: 2 }, 'alice may have 2 sandboxes at once'],
    [{ memoryMiB: 1024 }, 'alice may have 1024 MiB of memory in running sandboxes'],
    [{ cpus: 2 }, 'alice may have 2 CPUs in running sandboxes'],
  ])('%j: counts those that live, and those that are being made', (quotas, message) => {
    const granted = new Quotas()
    const living = [sandbox(), sandbox({ owner: 'bob' })]
    const one = granted.grant(owner(quotas), living, CLAIM, 1)
    expect(() => granted.grant(owner(quotas), living, CLAIM, 1)).toThrow(exceeded(message))
    one[Symbol.dispose]()
    expect(() => granted.grant(owner(quotas), living, CLAIM, 2)).toThrow(exceeded(message))
    granted.grant(owner(quotas), living, CLAIM, 1)
  })

  test('new ones a second are counted whatever became of them', () => {
    const granted = new Quotas()
    const once = owner({ createsPerSecond: 0.001 })
    granted.grant(once, [], CLAIM, 1)[Symbol.dispose]()
    expect(() => granted.grant(once, [], CLAIM, 1)).toThrow(exceeded('alice may have 0.001 new sandboxes a second'))
  })

  test('one that is paused takes no memory, and none can be woken beyond what was agreed', () => {
    const granted = new Quotas()
    const paused = sandbox({ state: 'paused' })
    const { quotas } = owner({ memoryMiB: 512 })
    granted.grant(owner(quotas), [paused], CLAIM, 1)[Symbol.dispose]()
    const living = [paused, sandbox()]
    const message = 'alice may have 512 MiB of memory in running sandboxes'
    expect(() => granted.wake(paused, living, quotas)).toThrow(exceeded(message))
    // Traffic has no key: what the owner's last one said holds.
    expect(() => granted.wake(paused, living)).toThrow(exceeded(message))
    const asleep = sandbox({ state: 'paused', lifecycle: { onTimeout: 'pause', pauseMemory: true, autoResume: false } })
    granted.wake(asleep, living)[Symbol.dispose]()
    granted.wake(paused, [paused], quotas)
    expect(() => granted.wake(paused, [paused], quotas)).toThrow(exceeded(message))
  })
})
