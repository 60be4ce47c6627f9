import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Engine } from '@caisson/wire'
import type { Runsc } from './found.ts'

export type Platform = Engine['platform']
/** As gVisor itself prefers them; kvm hangs on some virtual machines, so it is tried where nothing else runs. */
export const PLATFORMS: readonly Platform[] = ['systrap', 'ptrace', 'kvm']
/** A healthy one needs a quarter of a second. */
const RUN_MS = 15_000
const MAX_SAID_BYTES = 64 * 1024
/** What the agent says to this word (native/agent/src/hello.rs). */
const WORD = 'hello'
const ANSWER = 'hello from inside'
const REFUSES_STATX = 'statx refuses AT_NO_AUTOMOUNT'

/** How long a sandbox that does nothing took from nothing to its end, in milliseconds, and what it refuses to programs inside; or why it did not run. */
export type Tried = { readonly ms: number; readonly refusesStatx: boolean } | { readonly why: string }

/** Starts the real thing: a sandbox that runs the agent, which says a line or two. Leaves nothing. `scratch` is a folder of ours. */
export async function tryPlatform(runsc: Runsc, platform: Platform, agent: string, scratch: string, signal: AbortSignal): Promise<Tried> {
  await mkdir(scratch, { recursive: true, mode: 0o700 })
  const folder = await mkdtemp(join(scratch, 'trial-'))
  try {
    const bundle = join(folder, 'bundle')
    const root = join(bundle, 'rootfs')
    await mkdir(root, { recursive: true })
    await copyFile(agent, join(root, 'agent'))
    await writeFile(join(bundle, 'config.json'), JSON.stringify(specification()))
    const id = `trial${randomBytes(8).toString('hex')}`
    const rootless = process.getuid?.() === 0 ? [] : ['--rootless']
    const flags = [`--root=${join(folder, 'state')}`, '--network=none', '--ignore-cgroups', `--platform=${platform}`, ...rootless]
    const begun = performance.now()
    const { stdout } = await promisify(execFile)(runsc.program, [...flags, 'run', `--bundle=${bundle}`, id], {
      env: {},
      cwd: '/',
      timeout: RUN_MS,
      killSignal: 'SIGKILL',
      maxBuffer: MAX_SAID_BYTES,
      signal,
    })
    const [answer, ...refused] = stdout.trim().split('\n')
    if (answer !== ANSWER) return { why: 'it did not run what it was given' }
    return { ms: performance.now() - begun, refusesStatx: refused.includes(REFUSES_STATX) }
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
