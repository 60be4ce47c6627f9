import { describe, expect, test } from 'vitest'
import { claimOf, NO_CLAIM, Quotas } from './quotas.ts'
import { type Quotas as Agreed, NO_QUOTAS, type SandboxRecord } from './record.ts'

const MIB = 1024 * 1024
const CLAIM = { memoryMiB: 512, cpus: 1, diskMiB: 1024 }
const owner = (quotas: Partial<Agreed>): { name: string; quotas: Agreed } => ({
  name: 'alice',
  quotas: { ...NO_QUOTAS, ...quotas },
})

let made = 0
function sandbox(more: Partial<SandboxRecord> = {}): SandboxRecord {
  const plan = { limits: { memoryBytes: 512 * MIB, cpuMilli: 1000 }, disk: { bytes: 1024 * MIB } }
  made += 1
  return { id: `e${made}`, owner: 'alice', state: 'running', lifecycle: { autoResume: true }, plan, ...more } as SandboxRecord
}

/** A store of its own: of documents by their ids. */
function storing(kept = new Map<string, unknown>()) {
  const written: string[] = []
  return {
    written,
    kept,
    put: async (_: string, id: string, document: unknown) => {
      written.push(id)
      kept.set(id, structuredClone(document))
    },
    all: async () => [...kept].map(([id, document]) => ({ id, document })),
  }
}

const exceeded = (message: string) => expect.objectContaining({ code: 'QUOTA_EXCEEDED', message, retryAfterS: 2 })

describe('what an owner may have', () => {
  test.each([
    [{ sandboxes: 2 }, 'alice may have 2 sandboxes at once'],
    [{ memoryMiB: 1024 }, 'alice may have 1024 MiB of memory in running sandboxes'],
    [{ cpus: 2 }, 'alice may have 2 CPUs in running sandboxes'],
    [{ diskMiB: 2048 }, 'alice may have 2048 MiB of disks (sandboxes, workspaces)'],
  ])('%j: counts those that live, and those that are being made', async (quotas, message) => {
    const granted = await Quotas.open(storing())
    const living = [sandbox(), sandbox({ owner: 'bob' })]
    const one = await granted.grant(owner(quotas), living, CLAIM, 1)
    await expect(granted.grant(owner(quotas), living, CLAIM, 1)).rejects.toThrow(exceeded(message))
    one[Symbol.dispose]()
    await expect(granted.grant(owner(quotas), living, CLAIM, 2)).rejects.toThrow(exceeded(message))
    await granted.grant(owner(quotas), living, CLAIM, 1)
  })

  test('new ones a second are counted whatever became of them', async () => {
    const granted = await Quotas.open(storing())
    const once = owner({ createsPerSecond: 0.001 })
    ;(await granted.grant(once, [], CLAIM, 1))[Symbol.dispose]()
    await expect(granted.grant(once, [], CLAIM, 1)).rejects.toThrow(exceeded('alice may have 0.001 new sandboxes a second'))
  })

  test('one that is paused takes no memory, and none can be woken beyond what was agreed', async () => {
    const granted = await Quotas.open(storing())
    const paused = sandbox({ state: 'paused' })
    const { quotas } = owner({ memoryMiB: 512 })
    ;(await granted.grant(owner(quotas), [paused], CLAIM, 1))[Symbol.dispose]()
    const living = [paused, sandbox()]
    const message = 'alice may have 512 MiB of memory in running sandboxes'
    await expect(granted.wake(paused, living, quotas)).rejects.toThrow(exceeded(message))
    // Traffic has no key: what the owner's last one said holds.
    await expect(granted.wake(paused, living)).rejects.toThrow(exceeded(message))
    const asleep = sandbox({ state: 'paused', lifecycle: { onTimeout: 'pause', pauseMemory: true, autoResume: false } })
    ;(await granted.wake(asleep, living))[Symbol.dispose]()
    const woken = await granted.wake(paused, [paused], quotas)
    const another = sandbox({ state: 'paused' })
    await expect(granted.wake(another, [paused, another], quotas)).rejects.toThrow(exceeded(message))
    // A page that is opened knocks several times at once.
    const twice = await granted.wake(paused, [paused, another])
    woken[Symbol.dispose]()
    await expect(granted.wake(another, [paused, another], quotas)).rejects.toThrow(exceeded(message))
    twice[Symbol.dispose]()
    await granted.wake(another, [paused, another], quotas)
  })

  test('what the last key said holds for traffic after a restart, and is written when it changes', async () => {
    const before = storing()
    const first = await Quotas.open(before)
    for (const memoryMiB of [2048, 512, 512]) await first.grant(owner({ memoryMiB }), [], NO_CLAIM, 1)
    expect(before.written).toEqual(['alice', 'alice'])
    const paused = sandbox({ state: 'paused' })
    const message = 'alice may have 512 MiB of memory in running sandboxes'
    await expect(first.wake(paused, [paused, sandbox()])).rejects.toThrow(exceeded(message))
    const again = await Quotas.open(storing(before.kept))
    await expect(again.wake(paused, [paused, sandbox()])).rejects.toThrow(exceeded(message))
    await again.wake(paused, [paused])
  })

  test('what has no limit takes all there is', async () => {
    const unlimited = sandbox({ plan: { limits: { memoryBytes: null, cpuMilli: null }, disk: { bytes: MIB } } as never })
    expect(claimOf(unlimited)).toEqual({ memoryMiB: Number.POSITIVE_INFINITY, cpus: Number.POSITIVE_INFINITY, diskMiB: 1 })
    const granted = await Quotas.open(storing())
    await expect(granted.grant(owner({ cpus: 100 }), [unlimited], CLAIM, 1)).rejects.toThrow(
      exceeded('alice may have 100 CPUs in running sandboxes'),
    )
    await granted.grant(owner({}), [unlimited], claimOf(unlimited), 2)
  })

  test('of the disk counts what is kept there, whatever it was kept for', async () => {
    const granted = await Quotas.open(storing())
    const message = 'alice may have 4096 MiB of disks (sandboxes, workspaces)'
    const held = owner({ diskMiB: 4096 })
    // Its files and its memory: 1.5 GiB.
    const asleep = sandbox({ state: 'paused', paused: 'asleep' })
    await expect(granted.grant(held, [asleep], CLAIM, 2, 1024)).rejects.toThrow(exceeded(message))
    ;(await granted.grant(held, [asleep], CLAIM, 1, 1024))[Symbol.dispose]()
    await expect(granted.grant(held, [asleep], CLAIM, 1, 2048)).rejects.toThrow(exceeded(message))
    // To wake takes no more disk.
    const woken = await granted.wake(asleep, [asleep], held.quotas)
    ;(await granted.grant(held, [asleep], CLAIM, 1, 1024))[Symbol.dispose]()
    woken[Symbol.dispose]()
  })

  test('what cannot be written down is not granted', async () => {
    const granted = await Quotas.open({ ...storing(), put: async () => Promise.reject(new Error('disk full')) })
    await expect(granted.grant(owner({ memoryMiB: 512 }), [], CLAIM, 1)).rejects.toThrow('disk full')
    const paused = sandbox({ state: 'paused' })
    await granted.wake(paused, [paused, sandbox()])
  })
})
