import { constants, createReadStream } from 'node:fs'
import { access, lstat, readdir, readlink, realpath } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { Fault } from '@caisson/wire'
import type { Sandbox } from '../../sandbox.ts'
import { fileFault } from './job.ts'
import { refuseUnspeakable, wireName } from './wire-name.ts'

/** Checks, before a sandbox is created, that each `--in` path exists and is readable. */
export async function checkInputs(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    try {
      await access(path, constants.R_OK)
    } catch (cause) {
      await refuseUnspeakable(path)
      throw fileFault(cause, path)
    }
  }
}

/**
 * Copies a file or folder of this machine to `target` inside. A symlink in the folder is copied as a symlink and never followed, so that it cannot pull in
 * other files of this machine.
 */
export async function carryIn(sandbox: Sandbox, path: string, target: string, signal: AbortSignal): Promise<void> {
  try {
    // The caller named this path, so here a symlink stands for its target.
    await carry(sandbox, await realpath(path), target, signal)
  } catch (cause) {
    throw fileFault(cause, path)
  }
}

/** The name of a path inside /home/user. */
export function nameInside(path: string): string {
  const name = basename(resolve(path))
  return name === '' ? 'root' : name
}

async function carry(sandbox: Sandbox, path: string, target: string, signal: AbortSignal): Promise<void> {
  const entry = await lstat(path)
  if (entry.isDirectory()) {
    await sandbox.files.makeDir(target, { signal })
    const names = (await readdir(path, { encoding: 'buffer' })).map((name) => wireName(name, path))
    for (const name of names.sort()) await carry(sandbox, join(path, name), `${target}/${name}`, signal)
  } else if (entry.isSymbolicLink()) {
    const made = await sandbox.commands.run(['/bin/ln', '-sfn', '--', await readlink(path), target], { signal })
    if (made.exitCode !== 0) throw new Fault('FILE_DENIED', `the link ${path} could not be made inside: ${made.stderr}`)
  } else if (entry.isFile()) {
    await sandbox.files.write(target, createReadStream(path, { signal }), { mode: entry.mode & 0o777, signal })
  } else {
    throw new Fault('FILE_KIND', `${path} is neither a file, a folder nor a link`)
  }
}
