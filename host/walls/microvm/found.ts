import { execFile } from 'node:child_process'
import { readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Fault } from '@caisson/wire'

const QEMU = '/usr/bin/qemu-system-x86_64'
const ASK_MS = 20_000
const MAX_SAID_BYTES = 64 * 1024
/** What mends a machine without them. */
export const INSTALL = 'apt-get install -y --no-install-recommends qemu-system-x86'
export const SETUP = './caisson setup'

export interface Qemu {
  readonly program: string
  /** As it says it: `7.2.22`. */
  readonly version: string
  /** Changes with the file. */
  readonly stamp: string
}

/** Rejects with WALL_UNAVAILABLE. */
export async function qemu(signal: AbortSignal): Promise<Qemu> {
  const hint = `Install it with \`${INSTALL}\`; \`caisson doctor\` tries it.`
  if (process.arch !== 'x64') throw new Fault('WALL_UNAVAILABLE', 'microvm: machines are built on x86-64 only')
  if (process.getuid?.() !== 0) throw new Fault('WALL_UNAVAILABLE', 'microvm: it needs root on the host', { hint: 'Run Caisson as root.' })
  const status = await stat(QEMU).catch((cause: unknown) => {
    throw new Fault('WALL_UNAVAILABLE', `microvm: there is no ${QEMU}`, { hint, cause })
  })
  // It is going to hold the wall: whoever may write it may open every sandbox.
  if ((status.mode & 0o022) !== 0 || status.uid !== 0)
    throw new Fault('WALL_UNAVAILABLE', `microvm: ${QEMU} may be written by others than root`)
  const { stdout } = await promisify(execFile)(QEMU, ['--version'], { env: {}, timeout: ASK_MS, maxBuffer: MAX_SAID_BYTES, signal }).catch(
    (cause: unknown) => {
      throw new Fault('WALL_UNAVAILABLE', `microvm: ${QEMU} does not start`, { hint, cause })
    },
  )
  const version = /^QEMU emulator version (\d[\d.]{1,32})/m.exec(stdout)?.[1]
  if (version === undefined) throw new Fault('WALL_UNAVAILABLE', `microvm: ${QEMU} does not say a version`, { hint })
  return { program: QEMU, version, stamp: `${status.dev} ${status.ino} ${status.size} ${status.mtimeMs}` }
}

/** What set-up has made (host/templates/machines.ts). */
export interface Parts {
  /** Folder with `vmlinux` and `modules`; its name has the version. */
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
