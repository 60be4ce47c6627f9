import { existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'
import { freshDeadline } from '../lifetimes.ts'
import type { Store } from '../store/store.ts'
import { unmarkKept } from '../walls/disk-images.ts'
import { answers } from '../walls/supervised.ts'
import type { Cell } from '../walls/wall.ts'
import type { Walls } from '../walls/walls.ts'
import { forget, sleepingPlace, sleepsIn } from './asleep.ts'
import type { Creating } from './creating.ts'
import type { LiveSandbox } from './life.ts'
import { type ContextRecord, emptied, remains, type SandboxRecord } from './record.ts'

const ADOPT_MS = 30_000
/** Concurrent adoptions. */
const AT_ONCE = 16

export interface AdoptionParts {
  readonly home: string
  readonly keptFolder: string
  readonly store: Store
  readonly creating: Pick<Creating, 'adopt'>
  readonly walls: Pick<Walls, 'adopt' | 'bury' | 'salvageDisk' | 'remove'>
  /** Called whenever the contexts of a sandbox change. */
  readonly contextsChanged: (id: string, contexts: ContextRecord[]) => void
  readonly notice: (line: string) => void
}

export interface Found {
  readonly record: SandboxRecord
  /** Undefined if the sandbox is paused and has no process, or is gone. */
  readonly live: LiveSandbox | undefined
}

/**
 * Reconciles the records of an earlier daemon with the sandboxes that are alive. Where the two differ, the sandbox is right. Sandboxes without a record were
 * never announced to anyone; their ids are returned as the strangers.
 */
export async function adoptAll(parts: AdoptionParts, signal: AbortSignal): Promise<{ found: Found[]; strangers: string[] }> {
  const records = (await parts.store.all('sandbox')).map(({ document }) => document as SandboxRecord)
  const found: Found[] = []
  const waiting = [...records]
  const work = async () => {
    for (let record = waiting.shift(); record !== undefined; record = waiting.shift()) {
      signal.throwIfAborted()
      found.push(record.state === 'gone' ? { record, live: undefined } : await adoptOne(parts, record))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  const known = new Set(records.filter(({ state }) => state !== 'gone').map(({ id }) => id))
  for (const name of await readdir(parts.keptFolder)) {
    if (!known.has(name.replace(/\.(img|asleep)$/, ''))) await rm(join(parts.keptFolder, name), { recursive: true, force: true })
  }
  for (const { record } of found) {
    const before = records.find(({ id }) => id === record.id)
    if (record !== before) await parts.store.put('sandbox', record.id, record)
  }
  // Sandboxes of an embedded host have ids of their own kind (ids.ts) and end with that host.
  const strangers = (await readdir(join(parts.home, 'sandboxes'))).filter((id) => id.startsWith('i') && !known.has(id))
  return { found, strangers }
}

async function adoptOne(parts: AdoptionParts, record: SandboxRecord): Promise<Found> {
  const { plan } = record
  try {
    if (existsSync(plan.dir) && (await answers(join(plan.dir, 'keeper.sock')))) {
      const cell = await parts.walls.adopt(plan, freshDeadline(ADOPT_MS))
      return await takeOver(parts, record, cell)
    }
  } catch (failure) {
    parts.notice(`sandbox ${record.id} could not be taken over: ${failure instanceof Error ? failure.message : String(failure)}`)
  }
  // A disk that a pause left, or was about to leave, is kept. This comes before the rest is removed.
  const kept = (record.state === 'paused' || wasPausing(parts, record)) && (await hasFiles(parts, record))
  const death = await parts.walls.bury(plan, freshDeadline(ADOPT_MS))
  await parts.walls.remove(record.id, plan.dir)
  if (kept) {
    const [pausedMs, asleep] = [record.pausedMs ?? Date.now(), sleepingPlace(parts.keptFolder, record.id)]
    if (record.paused !== 'stopped' && sleepsIn(asleep))
      return { record: { ...record, state: 'paused', paused: 'asleep', pausedMs }, live: undefined }
    return { record: { ...record, state: 'paused', paused: 'stopped', pausedMs, contexts: emptied(record.contexts) }, live: undefined }
  }
  const gone = { state: 'gone', paused: null, reason: `${death.reason}: ${death.detail}`, goneMs: death.endedMs, contexts: [] } as const
  return { record: remains({ ...record, ...gone }), live: undefined }
}

/** Whether the record says running, but the keeper has since saved the disk. */
function wasPausing(parts: AdoptionParts, record: SandboxRecord): boolean {
  return existsSync(join(parts.keptFolder, `${record.id}.img`))
}

async function takeOver(parts: AdoptionParts, record: SandboxRecord, cell: Cell): Promise<Found> {
  const { frozen, wallLeftMs } = (await cell.ask({ op: 'hello' }, freshDeadline(ADOPT_MS))) as {
    frozen: boolean
    wallLeftMs: number | null
  }
  const contextsChanged = (contexts: ContextRecord[]) => parts.contextsChanged(record.id, contexts)
  // The sandbox runs, so a memory image that it was woken from, or was about to write, is stale.
  await forget(sleepingPlace(parts.keptFolder, record.id))
  await unmarkKept(record.plan.dir, join(parts.keptFolder, `${record.id}.img`))
  const live = await parts.creating.adopt(record, cell, contextsChanged, freshDeadline(ADOPT_MS))
  live.processes.adopt(record.contexts.flatMap(({ pid }) => pid ?? []))
  if (frozen === (record.state === 'paused')) return { record, live }
  if (frozen) return { record: { ...record, state: 'paused', paused: 'frozen', pausedMs: Date.now() }, live }
  const endMs = wallLeftMs === null ? record.endMs : Date.now() + wallLeftMs
  return { record: { ...record, state: 'running', paused: null, pausedMs: null, endMs }, live }
}

/** Also moves a disk that a crash of the machine or of the keeper left in the state folder to where the disks of stopped sandboxes are kept. */
async function hasFiles(parts: AdoptionParts, record: SandboxRecord): Promise<boolean> {
  const kept = join(parts.keptFolder, `${record.id}.img`)
  if (existsSync(kept)) return true
  try {
    await parts.walls.salvageDisk(record.plan, kept, freshDeadline(ADOPT_MS))
    return true
  } catch (failure) {
    if (failure instanceof Fault && failure.code === 'NOT_FOUND') return false
    throw failure
  }
}
