import { stat } from 'node:fs/promises'
import { basename, dirname, join, posix, resolve } from 'node:path'
import { Fault, type FileEntry } from '@caisson/wire'
import type { Sandbox } from '../../sandbox.ts'
import { carryIn, checkInputs, nameInside } from '../run/carry-in.ts'
import { carryOut } from '../run/carry-out.ts'
import { fileFault } from '../run/job.ts'
import { Landing, landingName } from '../run/landing.ts'

/** Copies `path` on this machine to `target` inside, or into it if that is a folder. */
export async function copyIn(sandbox: Sandbox, path: string, target: string, signal: AbortSignal): Promise<void> {
  await checkInputs([path])
  const found = await foundInside(sandbox, target, signal)
  const isInto = found?.kind === 'directory' || target.endsWith('/')
  await carryIn(sandbox, path, isInto ? posix.join(target, nameInside(path)) : target, signal)
}

/** Copies `path` inside to `target` on this machine, or into it if that is a folder. Resolves to what was left out. */
export async function copyOut(sandbox: Sandbox, path: string, target: string, signal: AbortSignal): Promise<string[]> {
  const entry = await sandbox.files.stat(path, { follow: true, signal })
  const isInto = await isFolder(target)
  if (entry.kind === 'directory') {
    // The name as the caller wrote it, not that of a link's target.
    const name = posix.basename(posix.resolve(path))
    await using landing = await Landing.open(isInto ? join(target, landed(name)) : target)
    return (await carryOut(sandbox, path, landing, signal)).left
  }
  if (entry.kind !== 'file') throw new Fault('FILE_KIND', `${path} is neither a file nor a folder`)
  const content = await sandbox.files.read(path, { format: 'stream', signal })
  if (isInto) {
    await using landing = await Landing.open(target)
    await landing.put([landed(posix.basename(path))], content)
  } else {
    const whole = resolve(target)
    await using landing = await Landing.open(dirname(whole))
    await landing.putNamed(basename(whole), content)
  }
  return []
}

function landed(name: string): string {
  if (landingName(name) === name) return name
  throw new Fault('FILE_DENIED', `${JSON.stringify(name)} is hidden or no name for a file here`, {
    hint: 'Name the file that it is to become: caisson cp ID:PATH ./NAME.',
  })
}

async function foundInside(sandbox: Sandbox, path: string, signal: AbortSignal): Promise<FileEntry | undefined> {
  try {
    return await sandbox.files.stat(path, { follow: true, signal })
  } catch (error) {
    if (error instanceof Fault && error.code === 'FILE_MISSING') return undefined
    throw error
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (cause) {
    const fault = fileFault(cause, path)
    if (fault.code === 'FILE_MISSING') return path.endsWith('/')
    throw fault
  }
}
