import { join } from 'node:path'
import { Fault, type FileEntry } from '@caisson/wire'
import type { Sandbox } from '../../sandbox.ts'
import { oneLine } from '../ending.ts'
import { carryOut } from './carry-out.ts'
import { pictureOf } from './forms.ts'
import type { Job } from './job.ts'
import { Landing, landingName } from './landing.ts'
import type { Outcome } from './outcome.ts'

/** Where charts are saved if no folder is named; created only when there is a chart. */
const DEFAULT_OUT = 'caisson-out'
/** With `--out`, everything that a program puts here is copied out. */
const OUT_INSIDE = '/home/user/out'

export interface BroughtBack {
  /** Paths on this machine, in order. */
  saved: string[]
  /** What was not copied out, and why. */
  left: string[]
}

/** Saves the pictures among the results and, if a folder is named, everything under /home/user/out. */
export async function bringBack(
  sandbox: Sandbox,
  out: string | undefined,
  job: Job,
  outcome: Outcome,
  signal: AbortSignal,
): Promise<BroughtBack> {
  const back: BroughtBack = { saved: [], left: [] }
  const pictures = outcome.results.map(pictureOf).filter((picture) => picture !== undefined)
  if (pictures.length === 0 && out === undefined) return back
  await using landing = out === undefined ? await usualLanding() : await Landing.open(out)
  const stem = job.kind === 'command' ? 'result' : (landingName(job.stem) ?? 'result')
  for (const [index, picture] of pictures.entries()) {
    const name = `${stem}-${index + 1}.${picture.extension}`
    await landing.put([name], [picture.bytes])
    back.saved.push(join(landing.path, name))
  }
  if (out === undefined) return back
  if (outcome.fault !== undefined && outcome.limit !== undefined) {
    back.left.push(`${OUT_INSIDE} (the sandbox has ended)`)
    return back
  }
  const entry = await present(sandbox, signal)
  if (entry === undefined) return back
  if (entry.kind !== 'directory') {
    back.left.push(`${OUT_INSIDE} is not a folder`)
    return back
  }
  const carried = await carryOut(sandbox, OUT_INSIDE, landing, signal)
  back.saved.push(...carried.saved.map((name) => join(landing.path, name)))
  back.left.push(...carried.left.map(oneLine))
  return back
}

/** Rejects with FILE_DENIED or FILE_KIND. */
async function usualLanding(): Promise<Landing> {
  try {
    return await Landing.open(DEFAULT_OUT)
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause
    throw new Fault(cause.code, `its charts were not saved: ${cause.message}`, { hint: 'Name another folder with --out.', cause })
  }
}

/** Checked from inside. If a symlink stood in its place, the agent would list another folder of the sandbox than was asked for. */
async function present(sandbox: Sandbox, signal: AbortSignal): Promise<FileEntry | undefined> {
  try {
    return await sandbox.files.stat(OUT_INSIDE, { follow: false, signal })
  } catch (error) {
    if (error instanceof Fault && error.code === 'FILE_MISSING') return undefined
    throw error
  }
}
