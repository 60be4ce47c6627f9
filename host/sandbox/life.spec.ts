import type { Death, Plan } from '@caisson/wire'
import { expect, test, vi } from 'vitest'
import type { AgentConnection } from '../agent/connection.ts'
import { Onlookers, settled } from '../lifetimes.ts'
import { Begun } from '../runtimes/control-lines.ts'
import type { Cell } from '../walls/wall.ts'
import { LiveSandbox } from './life.ts'
import type { Belonging, LifeParts } from './life-parts.ts'

const DEATH: Death = { id: 'i1', reason: 'kill', detail: '', startedMs: 0, endedMs: 0, peakMemoryBytes: null, cpuUs: null }

/** A keeper that knows who listens to it. */
function listened() {
  const death = settled<Death>()
  const mourners = new Onlookers(death.promise)
  const others = new Set<unknown>()
  const add = (listener: unknown) => {
    others.add(listener)
    return () => others.delete(listener)
  }
  const cell: Pick<Cell, 'death' | 'onDeath' | 'onLimit' | 'onFrozen' | 'agentSocket'> = {
    agentSocket: '',
    death: death.promise,
    onDeath: (listener) => mourners.add(listener),
    onLimit: add,
    onFrozen: add,
  }
  return { cell: cell as Cell, die: () => death.resolve(DEATH), count: () => mourners.count + others.size }
}

/** One that does nothing, and is told when it freezes. */
function lives(cell: Cell, afterDeath?: () => Promise<void>): LiveSandbox {
  const agent = { lost: settled().promise, close: () => undefined } as unknown as AgentConnection
  const plan = { id: 'i1', leash: 'none', limits: {} } as Plan
  const parts = { plan, cell, agent, env: {}, adopted: [], kept: [], forked: [], trustsLate: false } as unknown as LifeParts
  const life = new LiveSandbox({ ...parts, ...(afterDeath === undefined ? {} : { afterDeath }) })
  life.onFrozen(() => undefined)
  return life
}

test('a life that was let go of leaves nobody who listens to its keeper, however many come after it', () => {
  const { cell, count } = listened()
  lives(cell).letGo()
  expect(count()).toBe(0)
  const first = lives(cell)
  const held = count()
  expect(held).toBeGreaterThan(2)
  first.letGo()
  for (let lifetimes = 0; lifetimes < 100; lifetimes += 1) lives(cell).letGo()
  lives(cell)
  expect(count()).toBe(held)
})

test('what is to be done after the death of the first is done once, whoever holds it by then', async () => {
  const { cell, die } = listened()
  let tidied = 0
  lives(cell, async () => {
    tidied += 1
  }).letGo()
  const last = lives(cell)
  die()
  await expect(last.ended).resolves.toEqual(DEATH)
  expect([tidied, last.death]).toEqual([1, DEATH])
})

test('what its runtimes have begun to say counts for whoever it is given to', () => {
  const belongTo = vi.spyOn(Begun.prototype, 'belongTo')
  try {
    const life = lives(listened().cell)
    life.giveTo({ plan: life.plan, owner: 'one', env: {} } as unknown as Belonging)
    expect(belongTo.mock.calls).toEqual([['one']])
  } finally {
    belongTo.mockRestore()
  }
})
