import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import type { Plan } from '@caisson/wire'
import { Fault } from '@caisson/wire'
import { cancelled } from '../lifetimes.ts'

const MAX_SAID_BYTES = 4096

/**
 * Makes, once, the formatted image that disks of this size are copied from. It is sparse: a few dozen KiB, whatever its size. It has no journal, because no
 * sandbox's disk is mounted twice; no reserved blocks; and inode tables that are not written in advance (mke2fs(8)).
 */
export async function makeDiskImage(disk: Plan['disk'], signal: AbortSignal): Promise<void> {
  if (disk.kind !== 'image' || existsSync(disk.image)) return
  // Two hosts may do this concurrently. Each makes its own draft, and either rename leaves the same content.
  const draft = `${disk.image}.${randomUUID()}`
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.truncate(disk.bytes)
    } finally {
      await file.close()
    }
    const features = ['-O', '^has_journal,^resize_inode', '-E', 'lazy_itable_init=1,root_owner=0:0,nodiscard']
    await format(['-q', '-F', ...features, '-b', '4096', '-m', '0', '-N', String(disk.inodes), draft], signal)
    await rename(draft, disk.image)
  } catch (cause) {
    await rm(draft, { force: true })
    if (cause instanceof Fault) throw cause
    throw new Fault('LIMIT_UNAVAILABLE', `disk: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

const FORMATTER = 'mkfs.ext4'

function format(args: string[], signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = ''
    const env = { PATH: '/usr/sbin:/sbin:/usr/bin:/bin' }
    const child = spawn(FORMATTER, args, { env, stdio: ['ignore', 'ignore', 'pipe'], signal })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(0, MAX_SAID_BYTES)
    })
    child.on('error', (cause: NodeJS.ErrnoException) => {
      if (signal.aborted) return reject(cancelled(signal))
      if (cause.code !== 'ENOENT') return reject(cause)
      const hint = 'Install it with `apt-get install -y e2fsprogs`.'
      reject(new Fault('LIMIT_UNAVAILABLE', 'disk: mkfs.ext4 is not installed', { hint, cause }))
    })
    child.on('close', (code) => {
      if (code === 0) resolve()
      else reject(new Fault('LIMIT_UNAVAILABLE', `disk: mkfs.ext4 ended with ${code}: ${said.trim()}`))
    })
  })
}
