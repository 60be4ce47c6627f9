import { spawn } from 'node:child_process'
import { rename, rm } from 'node:fs/promises'
import { Fault } from '@caisson/wire'
import { cancelled } from '../lifetimes.ts'

/** cp(1) preserves holes and can share blocks between files (reflink); Node's copy does neither. */
export async function copySparse(from: string, to: string, signal: AbortSignal): Promise<void> {
  const draft = `${to}.partial`
  try {
    await new Promise<void>((resolve, reject) => {
      const args = ['--sparse=always', '--reflink=auto', '--no-target-directory', '--', from, draft]
      const child = spawn('cp', args, { env: { PATH: '/usr/bin:/bin' }, stdio: 'ignore', signal })
      child.on('error', (cause) => reject(signal.aborted ? cancelled(signal) : new Fault('INTERNAL', `cp: ${cause.message}`, { cause })))
      child.on('close', (code) => (code === 0 ? resolve() : reject(new Fault('INTERNAL', `cp of ${from} ended with ${code}`))))
    })
    await rename(draft, to)
  } catch (failure) {
    await rm(draft, { force: true })
    throw failure
  }
}
