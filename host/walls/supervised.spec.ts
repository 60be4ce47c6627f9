import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Death, Fault, type Plan } from '@caisson/wire'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { cancelled, settled } from '../lifetimes.ts'
import { Supervised } from './supervised.ts'
import type { Cell, Wall } from './wall.ts'

const signal = new AbortController().signal
const death = (reason: Death['reason']): Death => ({
  id: 'i1',
  reason,
  detail: '',
  startedMs: 0,
  endedMs: 0,
  peakMemoryBytes: null,
  cpuUs: null,
})

let folder: string
let swept: string[]
let recorded: Death[]
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'walls-'))
  await mkdir(join(folder, 'sandboxes'))
  swept = []
  recorded = []
})
afterEach(() => rm(folder, { recursive: true }))

const plan = () =>
  ({
    id: 'i1',
    kind: 'sandbox',
    wall: 'container',
    dir: join(folder, 'sandboxes', 'i1'),
    deathRecord: join(folder, 'i1.json'),
    disk: { kind: 'tmpfs' },
  }) as Plan

/** A wall of nothing: what it is asked to do is noted. */
function supervised(launch: Wall<object>['launch'], launchMs?: number, sweep = async (id: string) => void swept.push(id)) {
  const wall: Wall<object> = {
    name: 'container',
    options: z.strictObject({}),
    promises: { kernel: 'shared', snapshot: 'none', pty: false, rootless: true, sudo: true, forks: true, mounts: true, restores: 'no' },
    probe: async () => [],
    engine: async () => ({ engine: null }),
    launch,
    adopt: launch,
    sweep,
  }
  return new Supervised(wall, {}, join(folder, 'sandboxes'), (one) => recorded.push(one), launchMs)
}

function cell(ending: Promise<Death>): Cell {
  return {
    ready: { event: 'ready', agentPid: 1, uidBase: null, forked: [], steps: [] },
    agentSocket: '',
    death: ending,
    onDeath: () => () => undefined,
    onLimit: () => () => undefined,
    onFrozen: () => () => undefined,
    ask: async () => ({}),
    release: () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  }
}

test('one that had come to stand when nobody wanted it any more leaves nothing, its death record neither', async () => {
  const wall = supervised(async ({ deathRecord }) => {
    await writeFile(deathRecord, '{}')
    throw new Fault('CANCELLED', 'nobody waits any more')
  })
  await expect(wall.launch(plan(), signal)).rejects.toMatchObject({ code: 'CANCELLED' })
  expect(await readdir(folder)).toEqual(['sandboxes'])
  expect(await readdir(join(folder, 'sandboxes'))).toEqual([])
})

test('the marker is there before anything else, for the owner alone', async () => {
  let mode = 0
  const wall = supervised(async (plan) => {
    mode = (await stat(plan.dir)).mode & 0o777
    return cell(settled<Death>().promise)
  })
  await wall.launch(plan(), signal)
  expect(mode).toBe(0o700)
  await expect(wall.launch(plan(), signal)).rejects.toMatchObject({ code: 'HOME_UNUSABLE' })
})

test('a launch that never comes to an end is given up when its time is over, and swept; one that its caller gives up is not late', async () => {
  const hanging: Wall<object>['launch'] = (_plan, _options, on) =>
    new Promise((_, reject) => on.addEventListener('abort', () => reject(cancelled(on))))
  const late = supervised(hanging, 50).launch(plan(), signal)
  await expect(late).rejects.toMatchObject({
    code: 'LAUNCH_FAILED',
    message: expect.stringContaining('within 0.05 s'),
    cause: { code: 'CANCELLED' },
  })
  expect([swept, existsSync(plan().dir)]).toEqual([['i1'], false])
  const gone = new AbortController()
  const launching = supervised(hanging).launch(plan(), gone.signal)
  gone.abort()
  await expect(launching).rejects.toMatchObject({ code: 'CANCELLED' })
})

test('a launch that fails is swept, and its marker goes', async () => {
  const wall = supervised(async () => {
    throw new Fault('LAUNCH_FAILED', 'no luck')
  })
  await expect(wall.launch(plan(), signal)).rejects.toMatchObject({ code: 'LAUNCH_FAILED' })
  expect(swept).toEqual(['i1'])
  expect(existsSync(plan().dir)).toBe(false)
})

test('a death in order is read and forgotten; what a killed keeper left is swept and recorded before anyone hears of it', async () => {
  const [orderly, crash] = [settled<Death>(), settled<Death>()]
  const endings = [orderly, crash]
  const wall = supervised(async () => cell((endings.shift() ?? crash).promise))
  const first = await wall.launch(plan(), signal)
  await writeFile(plan().deathRecord, '{}')
  await rm(plan().dir, { recursive: true })
  orderly.resolve(death('timeout'))
  await expect(first.death).resolves.toEqual(death('timeout'))
  expect([swept, recorded, existsSync(plan().deathRecord)]).toEqual([[], [], false])
  const second = await wall.launch(plan(), signal)
  crash.resolve(death('crash'))
  await second.death
  expect([swept, recorded, existsSync(plan().dir)]).toEqual([['i1'], [death('crash')], false])
})

test('one whose remains cannot be removed is dead all the same, which is said and recorded; the next host tries again', async () => {
  const crash = settled<Death>()
  const wall = supervised(
    async () => cell(crash.promise),
    undefined,
    async () => {
      throw new Error('ENODEV: no such device')
    },
  )
  const held = await wall.launch(plan(), signal)
  crash.resolve({ ...death('crash'), detail: 'it fell' })
  const told = { ...death('crash'), detail: 'it fell; what it left could not be removed: ENODEV: no such device' }
  await expect(held.death).resolves.toEqual(told)
  expect([recorded, existsSync(plan().dir)]).toEqual([[told], true])
})

test('orphans are swept at start; those that live, are paused, or may be being made, are left alone', async () => {
  const wall = supervised(async () => cell(settled<Death>().promise))
  const place = async (name: string, ageMs: number) => {
    const dir = join(folder, 'sandboxes', name)
    await mkdir(dir)
    const server = createServer()
    if (name === 'living') await new Promise<void>((resolve) => server.listen(join(dir, 'keeper.sock'), resolve))
    await utimes(dir, new Date(), new Date(Date.now() - ageMs))
    return server
  }
  const hourMs = 3_600_000
  await place('made', 0)
  await place('dead', hourMs)
  await place('frozen', hourMs)
  await writeFile(join(folder, 'sandboxes', 'frozen', 'paused'), '')
  await utimes(join(folder, 'sandboxes', 'frozen'), new Date(), new Date(Date.now() - hourMs))
  const server = await place('living', hourMs)
  await wall.sweepOrphans(signal)
  await new Promise((resolve) => server.close(resolve))
  expect((await readdir(join(folder, 'sandboxes'))).sort()).toEqual(['frozen', 'living', 'made'])
  expect(swept).toEqual(['dead'])
  expect(recorded).toMatchObject([{ id: 'dead', reason: 'crash' }])
})

test('a zygote is swept by its id, wherever its folder lies', async () => {
  const wall = supervised(async () => cell(settled<Death>().promise))
  const zygote = { ...plan(), id: 'z1', kind: 'zygote', dir: join(folder, 'base-1') } as Plan
  await wall.launch(zygote, signal)
  await wall.sweepDead(zygote.dir)
  expect(swept).toEqual(['z1'])
  expect(existsSync(zygote.dir)).toBe(false)
})
