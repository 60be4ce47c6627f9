import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { Fault } from '@caisson/wire'

const ASK_MS = 20_000
const MAX_SAID_BYTES = 64 * 1024
const OTHERS_MAY_WRITE = 0o022
const EVERYBODY_MAY_RUN = 0o005

/** A program that will enforce the wall. */
export interface Trusted {
  readonly program: string
  /** As it prints it: `7.2.22`. */
  readonly version: string
  /** A stamp that changes with the file. */
  readonly stamp: string
}

/** Versions, by program and stamp: QEMU takes 50 ms to print its own. */
const heard = new Map<string, string>()

/** Undefined: it does not exist. Rejects with WALL_UNAVAILABLE where no machine can be run, or not by this program. `says`: matches its version as a group. */
export async function trusted(program: string, says: RegExp, hint: string, signal: AbortSignal): Promise<Trusted | undefined> {
  if (process.arch !== 'x64') throw new Fault('WALL_UNAVAILABLE', 'microvm: machines are built on x86-64 only')
  if (process.getuid?.() !== 0) throw new Fault('WALL_UNAVAILABLE', 'microvm: it needs root on the host', { hint: 'Run Caisson as root.' })
  const status = await stat(program).catch(() => undefined)
  if (status === undefined) return undefined
  // Whoever can write this program can break out of every sandbox.
  if ((status.mode & OTHERS_MAY_WRITE) !== 0 || status.uid !== 0)
    throw new Fault('WALL_UNAVAILABLE', `microvm: ${program} may be written by others than root`)
  if ((status.mode & EVERYBODY_MAY_RUN) !== EVERYBODY_MAY_RUN)
    throw new Fault('WALL_UNAVAILABLE', `microvm: ${program} is run as nobody, who may not run it`, { hint: `chmod 755 ${program}` })
  const stamp = `${status.dev} ${status.ino} ${status.size} ${status.mtimeMs}`
  const before = heard.get(`${program} ${stamp}`)
  if (before !== undefined) return { program, version: before, stamp }
  const { stdout } = await promisify(execFile)(program, ['--version'], {
    env: {},
    timeout: ASK_MS,
    maxBuffer: MAX_SAID_BYTES,
    signal,
  }).catch((cause: unknown) => {
    throw new Fault('WALL_UNAVAILABLE', `microvm: ${program} does not start`, { hint, cause })
  })
  const version = says.exec(stdout)?.[1]
  if (version === undefined) throw new Fault('WALL_UNAVAILABLE', `microvm: ${program} does not say a version`, { hint })
  heard.set(`${program} ${stamp}`, version)
  return { program, version, stamp }
}

/** For versions such as 8.2 or 1.13.1. */
export function isAtLeast(version: string, [least, leastMinor]: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > least || (major === least && minor >= leastMinor)
}
