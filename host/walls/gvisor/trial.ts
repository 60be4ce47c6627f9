import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Engine } from '@caisson/wire'
import type { Runsc } from './found.ts'
import { TraceListener } from './trace-listener.ts'

export type Platform = Engine['platform']
/** In gVisor's own order of preference. kvm hangs on some virtual machines, so it is tried only if nothing else runs. */
export const PLATFORMS: readonly Platform[] = ['systrap', 'ptrace', 'kvm']
/** A working platform needs a quarter of a second. */
const RUN_MS = 15_000
const MAX_SAID_BYTES = 64 * 1024
/** The argument that makes the agent answer in a trial (native/agent/src/hello.rs). */
const WORD = 'hello'
const ANSWER = 'hello from inside'
const REFUSES_STATX = 'statx refuses AT_NO_AUTOMOUNT'

/** Properties of a sandbox that does next to nothing. */
export interface Tried {
  /** From start to exit, in milliseconds. */
  readonly ms: number
  /** Whether it refuses statx(2) to programs inside. */
  readonly refusesStatx: boolean
  /** Why its trace points are no complete record of executions; undefined: they are. */
  readonly untraced?: string
}

export interface TrialParts {
  readonly agent: string
  readonly keeper: string
  /** A private folder. */
  readonly cache: string
}

/** Runs a real sandbox with the agent, which prints a line or two, and two commands. Leaves nothing behind. `why`: it did not run. */
export async function tryPlatform(
  runsc: Runsc,
  platform: Platform,
  parts: TrialParts,
  signal: AbortSignal,
): Promise<Tried | { readonly why: string }> {
  const { agent, cache } = parts
  await mkdir(cache, { recursive: true, mode: 0o700 })
  const folder = await mkdtemp(join(cache, 'trial-'))
  await using listener = await TraceListener.open(parts.keeper, folder, signal)
  try {
    const bundle = join(folder, 'bundle')
    const root = join(bundle, 'rootfs')
    await mkdir(root, { recursive: true })
    await copyFile(agent, join(root, 'agent'))
    await writeFile(join(bundle, 'config.json'), JSON.stringify(specification()))
    const rootless = process.getuid?.() === 0 ? [] : ['--rootless']
    const flags = [`--root=${join(folder, 'state')}`, '--network=none', '--ignore-cgroups', `--platform=${platform}`, ...rootless]
    const begun = performance.now()
    const run = (more: string[]) =>
      promisify(execFile)(runsc.program, [...flags, ...more, 'run', `--bundle=${bundle}`, `trial${randomBytes(8).toString('hex')}`], {
        env: {},
        cwd: '/',
        timeout: RUN_MS,
        killSignal: 'SIGKILL',
        maxBuffer: MAX_SAID_BYTES,
        signal,
      })
    // A runsc that has no trace points, or cannot connect, does not start with these flags.
    const { stdout } = await run(listener.flags).catch((failure) => {
      if ((failure as { killed?: boolean }).killed === true || signal.aborted) throw failure
      return run([])
    })
    const [answer, ...refused] = stdout.trim().split('\n')
    if (answer !== ANSWER) return { why: 'it did not run what it was given' }
    const ms = performance.now() - begun
    const untraced = await listener.lacking(signal)
    return { ms, refusesStatx: refused.includes(REFUSES_STATX), ...(untraced === undefined ? {} : { untraced }) }
  } catch (failure) {
    return { why: reason(failure) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function reason(failure: unknown): string {
  const { killed, stderr, message } = failure as { killed?: boolean; stderr?: string; message: string }
  if (killed === true) return `it hung for ${RUN_MS / 1000} s`
  return (stderr?.trim().split('\n').at(-1) ?? message).slice(0, 500)
}

function specification() {
  return {
    ociVersion: '1.0.0',
    process: { user: { uid: 0, gid: 0 }, args: ['/agent', WORD], env: [], cwd: '/', noNewPrivileges: true },
    root: { path: 'rootfs', readonly: true },
    hostname: 'trial',
    mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
    linux: { namespaces: ['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })) },
  }
}
