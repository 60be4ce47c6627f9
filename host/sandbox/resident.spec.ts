import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Death, Fault } from '@caisson/wire'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { orAborted, type Settled, settled, unending } from '../lifetimes.ts'
import type { LiveSandbox } from './life.ts'
import type { SandboxRecord } from './record.ts'
import { Resident, type ResidentParts } from './resident.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'caisson-resident-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))
afterEach(() => void vi.useRealTimers())

/** One that runs, whose keeper does what it is told when it is let. */
function running(): { resident: Resident; asked: string[]; keeper: Settled<void>; ended: Settled<Death> } {
  const asked: string[] = []
  const keeper = settled<void>()
  const ended = settled<Death>()
  const live = {
    ended: ended.promise,
    onFrozen: () => undefined,
    ask: async ({ op }: { op: string }, signal: AbortSignal) => {
      asked.push(op)
      await orAborted(keeper.promise, signal)
    },
    stop: (_keepDisk: string, signal: AbortSignal) => orAborted(ended.promise, signal),
    kill: async () => death('kill'),
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
    plan: { dir, wall: 'container', disk: { kind: 'tmpfs' }, network: { mode: 'none' } },
    request: {},
    metadata: {},
    env: {},
    contexts: [],
  } as unknown as SandboxRecord
  return { resident: new Resident(parts, record, live), asked, keeper, ended }
}

function death(reason: Death['reason']): Death {
  return { id: 'i1', reason, detail: '', startedMs: 0, endedMs: 0, peakMemoryBytes: null, cpuUs: null }
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

test.each([true, false])('a pause whose keeper hangs fails after a while, and leaves it as it was (memory: %s)', async (memory) => {
  vi.useFakeTimers({ toFake: ['setTimeout'] })
  const { resident, asked } = running()
  const refused = resident.pause({ memory }, unending()).catch((failure: unknown) => failure)
  await vi.advanceTimersByTimeAsync(600_000)
  expect(await refused).toMatchObject({ code: 'PAUSE_FAILED', message: expect.stringContaining('its keeper did not answer') })
  expect(resident.record.state).toBe('running')
  // A keeper that comes to it late undoes it at once.
  expect(asked).toEqual(memory ? ['freeze', 'thaw'] : [])
  await resident.kill(unending())
  expect(resident.record).toMatchObject({ state: 'gone', reason: 'kill: on request' })
})

test('a keeper that comes late to what it was told has kept the disk, and the sandbox is paused', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout'] })
  const { resident, ended } = running()
  const refused = resident.pause({ memory: false }, unending()).catch((failure: unknown) => failure)
  await vi.advanceTimersByTimeAsync(600_000)
  expect(await refused).toMatchObject({ code: 'PAUSE_FAILED' })
  const disk = join(dir, 'i1.img')
  await writeFile(disk, '')
  ended.resolve(death('pause'))
  await vi.waitFor(() => expect(resident.record).toMatchObject({ state: 'paused', paused: 'stopped', filesOnly: true }))
  expect(existsSync(disk)).toBe(true)
})
