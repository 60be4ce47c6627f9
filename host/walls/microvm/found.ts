import { readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'
import { type Trusted, trusted } from './trusted.ts'

const QEMU = '/usr/bin/qemu-system-x86_64'
/** The command that installs them. */
export const INSTALL = 'apt-get install -y --no-install-recommends qemu-system-x86'
export const SETUP = './caisson setup'

/** Rejects with WALL_UNAVAILABLE. */
export async function qemu(signal: AbortSignal): Promise<Trusted> {
  const hint = `Install it with \`${INSTALL}\`; \`caisson doctor\` tries it.`
  const found = await trusted(QEMU, /^QEMU emulator version (\d[\d.]{1,32})/m, hint, signal)
  if (found === undefined) throw new Fault('WALL_UNAVAILABLE', `microvm: there is no ${QEMU}`, { hint })
  return found
}

/** The parts that set-up has made (host/templates/machines.ts). */
export interface Parts {
  /** Folder with `vmlinux` and `modules`; its name includes the version. */
  readonly kernel: string
  readonly usr: string
}

/** Rejects with WALL_UNAVAILABLE. */
export async function parts(templates: string): Promise<Parts> {
  const folder = join(templates, 'machine')
  try {
    const [kernel, usr] = await Promise.all(['kernel', 'usr'].map(async (name) => join(folder, await readlink(join(folder, name)))))
    if (kernel === undefined || usr === undefined) throw new Error('nothing there')
    await Promise.all([stat(join(kernel, 'vmlinux')), stat(usr)])
    return { kernel, usr }
  } catch (cause) {
    throw new Fault('WALL_UNAVAILABLE', `microvm: the parts of machines have not been made (${folder})`, {
      hint: `Make them with \`${SETUP}\`, as root.`,
      cause,
    })
  }
}
