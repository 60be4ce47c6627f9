import { setTimeout as pause } from 'node:timers/promises'
import { WALLS, type WallName } from '@caisson/wire'
import { coldMachine } from './cold-machine.ts'
import { BenchDaemon, type Guest } from './daemon.ts'
import { availableMiB, processes, proportionalMiB } from './density.ts'
import { ENGINES } from './references.ts'
import type { Row } from './report.ts'
import { type Summary, series, summary, took } from './statistics.ts'

const NUMPY = 'import numpy; int(numpy.ones(2).sum())'
/** Milliseconds at p50. */
const AIMS: Readonly<Record<string, { demand: number; pool: number }>> = {
  container: { demand: 25, pool: 4 },
  gvisor: { demand: 350, pool: 15 },
  microvm: { demand: 150, pool: 15 },
}
const PAUSE_AIM_MS = 1000
const FORKS = 20
const FORKS_AIM_MS = 3000
/** The pool is being filled: nothing tells when, and a slow machine takes this long. */
const SETTLE_MS = 15_000
const REST_MS = 3000
/** As many as wait at the most of a kind that was not expected; of half of them, none is made in advance meanwhile. */
const WAITING = 8
const IN_A_ROW = WAITING / 2
const IDLE = 10
const ANSWERS = 500
/** Of each, by what is available of the machine's memory: a quarter more than the engine by itself was measured to take. */
const MEMORY_AIMS_MIB: Readonly<Record<string, number>> = { gvisor: 96, microvm: 27.5 }

/**
 * The same of each wall in one run, without a network; beside what engines do by themselves. A round here is slow: a tenth of them is made. `only`: of this
 * wall. Throws when there is none of that name.
 */
export async function walls(rounds: number, only?: string): Promise<Row[]> {
  const chosen = only === undefined ? WALLS : WALLS.filter((wall) => wall === only)
  if (chosen.length === 0) throw new Error(`--only ${only}: no such wall; there are: ${WALLS.join(', ')}`)
  const count = Math.max(5, Math.ceil(rounds / 10))
  const rows: Row[] = []
  for (const wall of chosen) {
    try {
      rows.push(...(await onDemand(wall, count)), ...(await fromPool(wall, count)))
    } catch (failure) {
      const skipped = failure instanceof Error ? failure.message.slice(0, 200) : String(failure)
      rows.push({ what: `${wall}`, unit: 'ms', measured: { skipped } })
    }
  }
  for (const engine of [...ENGINES, coldMachine]) {
    const skipped = await engine.missing()
    const measured = skipped === undefined ? await series(count, 1, () => took(() => engine.run())) : { skipped }
    rows.push({ what: engine.what, unit: 'ms', measured })
  }
  return rows
}

async function onDemand(wall: WallName, count: number): Promise<Row[]> {
  await using daemon = await BenchDaemon.open(0)
  await daemon.end(await first(daemon, wall))
  if (wall !== 'container') await daemon.saved()
  // Where it is emulated, one that others are forked from comes to stand; and the first one's memory is given back, bit by bit.
  await pause(SETTLE_MS)
  const idle = await idleMiB(daemon, wall)
  const aim = AIMS[wall]
  const create = await creates(daemon, wall, count, 0)
  const guest = await first(daemon, wall)
  const command = await series(count * 5, 3, () => took(() => daemon.true(guest)))
  const paused: number[] = []
  const resumed = await series(count, 1, async () => {
    paused.push(await took(() => daemon.pause(guest)))
    return took(async () => {
      await daemon.resume(guest)
      await daemon.code(guest)
    })
  })
  const forks = await series(3, 0, async () => {
    let made: Guest[] = []
    const ms = await took(async () => {
      made = await daemon.fork(guest, FORKS)
    })
    for (const fork of made) await daemon.code(fork)
    for (const fork of made) await daemon.end(fork)
    return ms
  })
  await daemon.end(guest)
  return [
    { what: `${wall}: create to first output with numpy`, unit: 'ms', measured: create, ...(aim && { aim: aim.demand }) },
    { what: '  command true', unit: 'ms', measured: command },
    { what: '  pause, frozen', unit: 'ms', measured: summary(paused), aim: PAUSE_AIM_MS },
    { what: '  resume to an output', unit: 'ms', measured: resumed, aim: PAUSE_AIM_MS },
    { what: `  ${FORKS} forks, all there`, unit: 'ms', measured: forks, aim: FORKS_AIM_MS },
    ...idle,
  ]
}

async function fromPool(wall: WallName, count: number): Promise<Row[]> {
  await using daemon = await BenchDaemon.open(1)
  // The pool learns what is wanted from those that it had not.
  await daemon.end(await first(daemon, wall))
  if (wall !== 'container') await daemon.saved()
  await atWork(daemon)
  await pause(SETTLE_MS)
  const values: number[] = []
  while (values.length < count * 2) {
    // The pool learns how many are wanted from those that it had not.
    const all = await Promise.all(Array.from({ length: WAITING }, () => first(daemon, wall)))
    for (const guest of all) await daemon.end(guest)
    await pause(SETTLE_MS)
    values.push(...(await row(daemon, wall)))
  }
  const rare = await creates(daemon, wall, count, REST_MS)
  const aim = AIMS[wall] && { aim: AIMS[wall].pool }
  return [
    { what: '  the same from the pool', unit: 'ms', measured: summary(values), ...aim },
    { what: '  the same, one now and then', unit: 'ms', measured: rare, ...aim },
  ]
}

/** One after another, as in `bench http`; none ends meanwhile. */
async function row(daemon: BenchDaemon, wall: WallName): Promise<number[]> {
  const made: Guest[] = []
  const values: number[] = []
  for (let left = IN_A_ROW; left > 0; left--) values.push(await took(async () => void made.push(await first(daemon, wall))))
  for (const guest of made) await daemon.end(guest)
  return values
}

/** A daemon that has answered nothing yet is measured in `bench http`: here its code, and that of this client, is warm. */
async function atWork(daemon: BenchDaemon): Promise<void> {
  const guest = await daemon.create()
  await series(ANSWERS, 0, () => took(() => daemon.code(guest)))
  await daemon.end(guest)
}

async function first(daemon: BenchDaemon, wall: WallName): Promise<Guest> {
  const guest = await daemon.createBehind(wall)
  await daemon.code(guest, NUMPY)
  return guest
}

/** The ends are not part of it. */
function creates(daemon: BenchDaemon, wall: WallName, count: number, restMs: number): Promise<Summary> {
  return series(count, 1, async () => {
    let guest: Guest | undefined
    const ms = await took(async () => {
      guest = await first(daemon, wall)
    })
    if (guest !== undefined) await daemon.end(guest)
    await pause(restMs)
    return ms
  })
}

/** What all of a kind share is there already: somebody of it has lived. */
async function idleMiB(daemon: BenchDaemon, wall: WallName): Promise<Row[]> {
  const before = { processes: new Set(await processes()), availableMiB: await availableMiB() }
  const guests: Guest[] = []
  for (let number = 0; number < IDLE; number += 1) guests.push(await daemon.createBehind(wall))
  await pause(REST_MS)
  const lostMiB = before.availableMiB - (await availableMiB())
  let pssMiB = 0
  for (const pid of await processes()) if (!before.processes.has(pid)) pssMiB += await proportionalMiB(pid)
  for (const guest of guests) await daemon.end(guest)
  const aim = MEMORY_AIMS_MIB[wall]
  const row = (what: string, all: number): Row => ({ what, unit: 'MiB', measured: summary([all / IDLE]) })
  const pss = row(`  PSS of each of ${IDLE} idle sandboxes`, pssMiB)
  // Less than what a daemon gives back meanwhile says nothing.
  return aim === undefined ? [pss] : [pss, { ...row('  loss of MemAvailable, each of them', lostMiB), aim }]
}
