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

/**
 * Makes what machines are made of: a kernel, an image of /usr, and one of each template. What cannot be had is said, with what mends it, and stops
 * nobody who wants none. Idempotent, and goes on where it was interrupted.
 */
export async function buildMachines(
  templates: string,
  names: readonly string[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  if (process.getuid?.() !== 0) return say('no machines (wall microvm) without root')
  const missing = NEEDED.filter((path) => !existsSync(path))
  if (missing.length > 0) return say(`no machines (wall microvm): ${missing.join(', ')} is missing. Run: ${INSTALL}`)
  const folder = join(templates, MACHINE)
  await mkdir(folder, { recursive: true, mode: 0o755 })
  try {
    await point(join(folder, 'kernel'), await fetchKernel(folder, say, signal))
    await point(join(folder, 'usr'), await makeUsrImage(folder, say, signal))
    for (const name of names) await makeShownImage(join(templates, name), say, signal)
    await writeFile(join(folder, 'made'), '')
  } catch (failure) {
    if (!(failure instanceof Fault) || signal.aborted) throw failure
    say(`no machines (wall microvm): ${failure.message}. Run ./caisson setup again when that is mended`)
  }
}

async function point(path: string, to: string): Promise<void> {
  await rm(`${path}.new`, { force: true })
  await symlink(to, `${path}.new`)
  await rename(`${path}.new`, path)
}
