import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Runs a command in what an image holds: a copy of it, mounted where nobody else sees it. */
export async function readImage(image: string, command: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cai-image-'))
  try {
    const copy = join(folder, 'copy.img')
    await copyFile(image, copy)
    await run('mkdir', [join(folder, 'mount')])
    const script = 'mount -o loop,nosuid,nodev "$1" "$2" && cd "$2" && sh -c "$3"'
    const { stdout } = await run('unshare', ['--mount', 'sh', '-c', script, 'sh', copy, join(folder, 'mount'), command])
    return stdout
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** What e2fsck(8) has to complain about, apart from the marks of a file system that was in use. */
export async function check(image: string): Promise<string> {
  const said = await run('e2fsck', ['-fn', image]).catch((failure: { stdout: string; stderr: string }) => failure)
  return said.stdout
}
