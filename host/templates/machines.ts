import { existsSync } from 'node:fs'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'
import { fetchKernel } from './kernel.ts'
import { makeShownImage } from './shown-image.ts'
import { makeUsrImage } from './usr-image.ts'

/** Beside the templates. */
export const MACHINE = 'machine'
const NEEDED = ['/usr/bin/qemu-system-x86_64', '/usr/bin/mkfs.erofs', '/usr/bin/lz4', '/var/lib/dpkg/status']
/** Said where one of them is missing; the wall says it too, to whoever asks for it. */
const INSTALL = 'apt-get install -y --no-install-recommends qemu-system-x86 erofs-utils lz4'

type Say = (line: string) => void

/**
 * Makes what all machines are made of: a kernel and an image of /usr. What cannot be had is said, with what mends it, and stops nobody who wants none:
 * false. Idempotent, and goes on where it was interrupted.
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

/** Makes an image of each of these templates, which have been built, for machines that `buildMachines` has made. The same holds for it. */
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
