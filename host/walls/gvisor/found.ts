import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Fault } from '@caisson/wire'

const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin']
const ASK_MS = 10_000
const MAX_SAID_BYTES = 64 * 1024

/** An installed runsc. */
export interface Runsc {
  readonly program: string
  /** As it prints it: `release-20240729.0`, or `0.0~20221219.0` from a distribution. */
  readonly version: string
  /** A stamp that changes with the file. */
  readonly stamp: string
}

/** Why an installed runsc is not used. */
export interface Passed {
  readonly program: string
  readonly why: string
}

/** Newest first. `named`: only this one. */
export async function runscs(named: string | null, signal: AbortSignal): Promise<{ found: Runsc[]; passed: Passed[] }> {
  const found: Runsc[] = []
  const passed: Passed[] = []
  for (const program of named === null ? FOLDERS.map((folder) => join(folder, 'runsc')) : [named]) {
    try {
      const runsc = await look(program, signal)
      if (runsc !== undefined && !found.some(({ stamp }) => stamp === runsc.stamp)) found.push(runsc)
    } catch (failure) {
      passed.push({ program, why: failure instanceof Error ? failure.message : String(failure) })
    }
  }
  if (named !== null && found.length === 0 && passed.length === 0) passed.push({ program: named, why: 'no such file' })
  return { found: found.sort((one, other) => day(other.version) - day(one.version)), passed }
}

/** Its release date as a number like 20240729; 0: unknown. */
export function day(version: string): number {
  return Number(/(\d{8})/.exec(version)?.[1] ?? 0)
}

async function look(program: string, signal: AbortSignal): Promise<Runsc | undefined> {
  const status = await stat(program).catch(() => undefined)
  if (status === undefined) return undefined
  // It will enforce the wall: whoever can write it can break out of every sandbox.
  if ((status.mode & 0o022) !== 0) throw new Fault('WALL_UNAVAILABLE', `${program} may be written by others (chmod go-w ${program})`)
  if (status.uid !== 0 && status.uid !== process.getuid?.()) throw new Fault('WALL_UNAVAILABLE', `${program} belongs to another user`)
  const { stdout } = await promisify(execFile)(program, ['--version'], { env: {}, timeout: ASK_MS, maxBuffer: MAX_SAID_BYTES, signal })
  const version = /^runsc version (\S{1,128})$/m.exec(stdout)?.[1]
  if (version === undefined) throw new Fault('WALL_UNAVAILABLE', `${program} does not say a version`)
  return { program, version, stamp: `${status.dev} ${status.ino} ${status.size} ${status.mtimeMs}` }
}
