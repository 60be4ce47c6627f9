import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { makeImage } from './erofs.ts'

const MAX_LIST_BYTES = 16 * 1024 * 1024
/** What programs do not need to run, and what administrators put there for themselves. */
const LEFT_OUT = ['local', 'src', 'lib/debug', 'share/doc', 'share/man', 'share/info']
const VERSION = '1'

/** Name of the image of this machine's current /usr. It changes with the installed packages. */
export async function usrImage(): Promise<string> {
  const { size, mtimeMs } = await stat('/var/lib/dpkg/status')
  return `usr-${createHash('sha256').update(`${VERSION} ${size} ${mtimeMs}`).digest('hex').slice(0, 8)}.erofs`
}

/** Makes the image in `folder`, unless it exists, and removes earlier ones. Returns its name. */
export async function makeUsrImage(folder: string, say: (line: string) => void, signal: AbortSignal): Promise<string> {
  const name = await usrImage()
  if (!existsSync(join(folder, name))) {
    say('an image of /usr, for machines (some minutes, and as large as /usr)')
    await makeImage(join(folder, name), '/usr', { leftOut: [...LEFT_OUT, ...(await hidden(signal))] }, signal)
  }
  // Running machines keep theirs open.
  for (const other of await readdir(folder)) if (other.startsWith('usr-') && other !== name) await rm(join(folder, other), { force: true })
  return name
}

/** Files that not every user of this machine may read: in the image, all files would belong to the sandbox's root. */
async function hidden(signal: AbortSignal): Promise<string[]> {
  const closed = ['(', '-type', 'd', '!', '-perm', '-005', '-prune', '-o', '-type', 'f', '!', '-perm', '-004', ')']
  const { stdout } = await promisify(execFile)('find', ['/usr', ...closed, '-printf', '%P\\0'], { maxBuffer: MAX_LIST_BYTES, signal })
  return stdout.split('\0').filter((path) => path !== '')
}
