import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Settled, settled, unending } from '../lifetimes.ts'
import type { LiveSandbox } from './life.ts'
import type { SandboxRecord } from './record.ts'
import { Resident, type ResidentParts } from './resident.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'caisson-resident-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** One that runs, whose keeper does what it is told when it is let. */
function running(): { resident: Resident; asked: string[]; keeper: Settled<void> } {
  const asked: string[] = []
  const keeper = settled<void>()
  const live = {
    ended: new Promise(() => undefined),
    onFrozen: () => undefined,
    ask: async ({ op }: { op: string }) => {
      asked.push(op)
      await keeper.promise
    },
  } as unknown as LiveSandbox
  const parts = {
    store: { put: async () => undefined },
    walls: { promises: () => ({ snapshot: 'files' }) },
    keptFolder: dir,
    frozenGraceMs: 600_000,
    happened: () => undefined,
    notice: () => undefined,
  } as unknown as ResidentParts
  const record = {
    id: 'i1',
    state: 'running',
    paused: null,
    endMs: Date.now() + 600_000,
    lifecycle: { onTimeout: 'kill', pauseMemory: true, autoResume: true },
    plan: { dir, wall: 'container', disk: { kind: 'tmpfs' } },
  } as unknown as SandboxRecord
  return { resident: new Resident(parts, record, live), asked, keeper }
}

const wish = { timeoutMs: 1000, memory: true }
const free: Disposable = { [Symbol.dispose]: () => undefined }
const full = () => Promise.reject(new Fault('QUOTA_EXCEEDED', 'alice may have 512 MiB of memory in running sandboxes'))

test('whether there is room is asked when it is about to run again, also by whoever asked while it was being paused', async () => {
  const { resident, asked, keeper } = running()
  const pausing = resident.pause({ memory: true }, unending())
  const resumed = resident.resume(wish, full, unending())
  const entered = resident.enter(full, unending())
  keeper.resolve()
  await pausing
  await expect(resumed).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' })
  await expect(entered).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' })
  expect(resident.record).toMatchObject({ state: 'paused', paused: 'frozen' })
  expect(asked).toEqual(['freeze'])
  const told: string[] = []
  const admit = async ({ state }: SandboxRecord) => {
    told.push(state)
    return free
  }
  expect(await resident.resume(wish, admit, unending())).toBe(true)
  expect(told).toEqual(['paused'])
  expect(resident.record).toMatchObject({ state: 'running' })
  expect(await resident.resume({ ...wish, timeoutMs: 1 }, full, unending())).toBe(false)
})
