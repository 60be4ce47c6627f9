import { spawn } from 'node:child_process'
import { Fault } from '@caisson/wire'
import { cancelled } from '../lifetimes.ts'

/**
 * A lock on a file between the processes of this machine. The kernel releases it when the holder ends, however it ends: flock(2), taken by flock(1) because
 * Node has no such call.
 */
const FLOCK = 'flock'

export async function lock(path: string, signal: AbortSignal): Promise<AsyncDisposable> {
  const held = await flock(path, [], signal)
  if (held === undefined) throw new Fault('LAUNCH_FAILED', `flock ${path}: somebody holds it`)
  return held
}

/** Undefined: another process holds it. */
export function lockNow(path: string, signal: AbortSignal): Promise<AsyncDisposable | undefined> {
  return flock(path, ['--nonblock', '--conflict-exit-code', String(TAKEN)], signal)
}

const TAKEN = 75

function flock(path: string, how: readonly string[], signal: AbortSignal): Promise<AsyncDisposable | undefined> {
  return new Promise((resolve, reject) => {
    const env = { PATH: '/usr/bin:/bin' }
    // It prints one line once it has the lock, and holds it until its input closes, at the latest when this process ends.
    const child = spawn(FLOCK, ['--exclusive', ...how, path, 'sh', '-c', 'echo; exec cat'], {
      env,
      stdio: ['pipe', 'pipe', 'ignore'],
      signal,
    })
    const closed = new Promise<void>((done) => child.on('close', () => done()))
    const release = async () => {
      child.stdin.end()
      await closed
    }
    child.stdin.on('error', () => undefined)
    child.stdout.once('data', () => resolve({ [Symbol.asyncDispose]: release }))
    child.on('error', (cause) =>
      reject(signal.aborted ? cancelled(signal) : new Fault('LAUNCH_FAILED', `flock: ${cause.message}`, { cause })),
    )
    child.on('close', (code) =>
      code === TAKEN ? resolve(undefined) : reject(new Fault('LAUNCH_FAILED', `flock ${path} ended with ${code}`)),
    )
  })
}
