import { Fault } from '@caisson/wire'
import type { Sandbox } from '../../sandbox.ts'
import { type Landing, landingName } from './landing.ts'

const MAX_DEPTH = 32
/** The replacement for bytes that are not UTF-8: a file with such a name cannot be requested (wire/agent.proto). */
const REPLACED = '\uFFFD'

export interface CarriedOut {
  /** Relative to the landing folder. */
  saved: string[]
  /** What was left out, and why. */
  left: string[]
}

/** Copies everything under the folder `top` inside to `landing`: only regular files and folders. */
export async function carryOut(sandbox: Sandbox, top: string, landing: Landing, signal: AbortSignal): Promise<CarriedOut> {
  const carried: CarriedOut = { saved: [], left: [] }
  await folder(sandbox, top, landing, [], [], carried, signal)
  return carried
}

async function folder(
  sandbox: Sandbox,
  top: string,
  landing: Landing,
  inside: readonly string[],
  outside: readonly string[],
  carried: CarriedOut,
  signal: AbortSignal,
): Promise<void> {
  if (inside.length > MAX_DEPTH) throw new Fault('LIMIT_HIT', `${top} is more than ${MAX_DEPTH} folders deep`, { hint: 'Pack it.' })
  const path = [top, ...inside].join('/')
  for (const entry of await sandbox.files.list(path, { depth: 1, signal })) {
    const name = landingName(entry.name)
    const where = [...inside, entry.name].join('/')
    if (name === undefined) carried.left.push(`${where} (a hidden or impossible name)`)
    else if (entry.name.includes(REPLACED)) carried.left.push(`${where} (it cannot be read by that name)`)
    else if (entry.kind === 'directory') {
      await folder(sandbox, top, landing, [...inside, entry.name], [...outside, name], carried, signal)
    } else if (entry.kind !== 'file') carried.left.push(`${where} (not a regular file)`)
    else {
      const content = await sandbox.files.read(`${path}/${entry.name}`, { format: 'stream', signal })
      if (await isLanded(landing.put([...outside, name], content))) carried.saved.push([...outside, name].join('/'))
      else carried.left.push(`${where} (it went away meanwhile)`)
    }
  }
}

/** False: the file disappeared meanwhile. */
async function isLanded(putting: Promise<void>): Promise<boolean> {
  try {
    await putting
    return true
  } catch (error) {
    if (error instanceof Fault && error.code === 'FILE_MISSING') return false
    throw error
  }
}
