import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeImage } from './erofs.ts'
import { Made } from './made.ts'
import { shownImage } from './shown-name.ts'

/** Where a machine puts files of its own (native/agent/src/vm/root.rs). */
const PLACES = [
  ...['usr', 'proc', 'sys', 'dev', 'run', 'mnt', 'opt', 'srv', 'media', 'tmp', 'root', 'var/tmp', 'var/lib', 'var/log', 'home/user'],
  ...['caisson/runtimes', 'caisson/python'],
]
/** Private files of programs that do not work there. */
const PRIVATE = ['sudoers', 'sudoers.d', 'shadow', 'gshadow']

/** Makes the image of what this template shows besides /usr, unless it exists, and removes earlier ones. */
export async function makeShownImage(folder: string, say: (line: string) => void, signal: AbortSignal): Promise<void> {
  const text = await readFile(join(folder, 'template.json'), 'utf8')
  const made = Made.parse(JSON.parse(text))
  const name = shownImage(text)
  if (!existsSync(join(folder, name))) {
    say(`an image of template ${made.name}, for machines`)
    const draft = await mkdtemp(join(folder, '.shown-'))
    try {
      await chmod(draft, 0o755)
      await makeImage(join(folder, name), draft, { binds: await lay(draft, folder, made) }, signal)
    } finally {
      await rm(draft, { recursive: true, force: true })
    }
  }
  // Running machines keep theirs open.
  for (const other of await readdir(folder))
    if (/^shown-.*\.erofs$/.test(other) && other !== name) await rm(join(folder, other), { force: true })
}

/** Assembles it in a folder; large parts are bind-mounted there meanwhile. */
async function lay(draft: string, folder: string, made: Made): Promise<{ source: string; at: string }[]> {
  for (const place of PLACES) await mkdir(join(draft, place), { recursive: true, mode: 0o755 })
  await cp(join(folder, made.etc), join(draft, 'etc'), { recursive: true, preserveTimestamps: true, verbatimSymlinks: true })
  for (const name of PRIVATE) await rm(join(draft, 'etc', name), { recursive: true, force: true })
  await symlink('/run', join(draft, 'var/run'))
  for (const { path, to } of made.symlinks) {
    await mkdir(dirname(join(draft, path)), { recursive: true, mode: 0o755 })
    await symlink(to, join(draft, path))
  }
  // A mount point for the running agent.
  await writeFile(join(draft, 'caisson/agent'), '')
  const binds = made.host
    .filter((path) => !path.startsWith('/usr') && !path.startsWith('/sys'))
    .map((path) => ({ source: path, at: join(draft, path) }))
  for (const { at } of binds) await mkdir(at, { recursive: true, mode: 0o755 })
  if (made.python !== null) binds.push({ source: join(folder, made.python.folder), at: join(draft, 'caisson/python') })
  return binds
}
