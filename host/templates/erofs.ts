import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { rename, rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { Fault } from '@caisson/wire'

const MAX_SAID_BYTES = 1024 * 1024
const FORMATTER = 'mkfs.erofs'
/** No compression, because an emulated processor would pay for it at each start. File times are kept, because programs compare them with their caches. */
const FORM = ['--quiet', '-x-1', '--preserve-mtime', '--force-uid=0', '--force-gid=0']

/**
 * Makes a read-only file system from a folder, in one step. Everything in it belongs to root. `binds`: host folders to mount there meanwhile, in a mount
 * namespace of its own. Rejects with TEMPLATE_BUILD_FAILED.
 */
export async function makeImage(
  image: string,
  folder: string,
  { leftOut = [], binds = [] }: { leftOut?: readonly string[]; binds?: readonly { source: string; at: string }[] },
  signal: AbortSignal,
): Promise<void> {
  const draft = `${image}.${randomUUID()}.partial`
  const format = [FORMATTER, ...FORM, ...leftOut.map((path) => `--exclude-path=${path}`), draft, folder]
  const pairs = binds.flatMap(({ source, at }) => [source, at])
  const script = `n=$1; shift; while [ "$n" -gt 0 ]; do mount --bind "$1" "$2" || exit 1; shift 2; n=$((n-1)); done; exec "$@"`
  try {
    await promisify(execFile)(
      'unshare',
      ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', String(binds.length), ...pairs, ...format],
      { env: { PATH: '/usr/sbin:/sbin:/usr/bin:/bin' }, maxBuffer: MAX_SAID_BYTES, signal },
    )
    await rename(draft, image)
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim().split('\n').at(-1)
    throw new Fault('TEMPLATE_BUILD_FAILED', `${image}: ${said || String(cause)}`, { cause })
  } finally {
    await rm(draft, { force: true })
  }
}
