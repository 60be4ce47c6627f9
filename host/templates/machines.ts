import { existsSync } from 'node:fs'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'
import { fetchKernel } from './kernel.ts'
import { makeShownImage } from './shown-image.ts'
import { makeUsrImage } from './usr-image.ts'

/** Folder beside the templates. */
export const MACHINE = 'machine'
const NEEDED = ['/usr/bin/qemu-system-x86_64', '/usr/bin/mkfs.erofs', '/usr/bin/lz4', '/var/lib/dpkg/status']
/** Shown where one of them is missing, also by the wall. */
const INSTALL = 'apt-get install -y --no-install-recommends qemu-system-x86 erofs-utils lz4'

type Say = (line: string) => void

/**
 * Makes the shared parts of machines: a kernel and an image of /usr. If something is missing, it reports the fix and resolves to false, because users of other
 * walls need not care. Idempotent, and resumes where it was interrupted.
 */
export async function buildMachines(templates: string, say: Say, signal: AbortSignal): Promise<boolean> {
  if (process.getuid?.() !== 0) {
    say('no machines (wall microvm) without root')
    return false
  }
  const missing = NEEDED.filter((path) => !existsSync(path))
  if (missing.length > 0) {
    say(`no machines (wall microvm): ${missing.join(', ')} is missing. Run: ${INSTALL}`)
    return false
  }
  const folder = join(templates, MACHINE)
  await mkdir(folder, { recursive: true, mode: 0o755 })
  return await wherePossible(say, signal, async () => {
    await point(join(folder, 'kernel'), await fetchKernel(folder, say, signal))
    await point(join(folder, 'usr'), await makeUsrImage(folder, say, signal))
  })
}

/** Makes an image of each of these built templates for machines, after `buildMachines`. Fails in the same way. */
export async function showTemplates(templates: string, names: readonly string[], say: Say, signal: AbortSignal): Promise<boolean> {
  return await wherePossible(say, signal, async () => {
    for (const name of names) await makeShownImage(join(templates, name), say, signal)
    await writeFile(join(templates, MACHINE, 'made'), '')
  })
}

async function wherePossible(say: Say, signal: AbortSignal, make: () => Promise<void>): Promise<boolean> {
  try {
    await make()
    return true
  } catch (failure) {
    if (!(failure instanceof Fault) || signal.aborted) throw failure
    say(`no machines (wall microvm): ${failure.message}. Run ./caisson setup again when that is mended`)
    return false
  }
}

async function point(path: string, to: string): Promise<void> {
  await rm(`${path}.new`, { force: true })
  await symlink(to, `${path}.new`)
  await rename(`${path}.new`, path)
}
