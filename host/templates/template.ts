import { createHash } from 'node:crypto'
import { readdir, readFile, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Bind, Fault } from '@caisson/wire'
import { Made } from './made.ts'
import { searchPath } from './search-path.ts'
import * as shelf from './shelf.ts'
import { shownImage } from './shown-name.ts'
import { sudoBinds } from './sudo.ts'

/** A root file system assembled from the machine itself, and the process that is warmed up for it. */
export interface Template {
  readonly name: string
  /** Folder that is bound at /etc. It is among `binds`. */
  readonly etc: string
  readonly binds: readonly Bind[]
  /** Folder that overlays /usr in a writable root (ground.ts); null: none has been built. */
  readonly ground: string | null
  /** Image of what it shows besides /usr, for machines (shown-image.ts); null: none has been built for this build. */
  readonly shown: string | null
  /** Whether a library can be preloaded into every program: older builds have no file to name it in. */
  readonly preloads: boolean
  /** Additional mounts where `sudo` is to work. */
  readonly sudo: readonly Bind[]
  readonly symlinks: readonly { path: string; to: string }[]
  /** Environment of every program inside. */
  readonly env: Readonly<Record<string, string>>
  /** Names of the runtimes whose interpreter it has. */
  readonly languages: readonly string[]
  /** Null: this template has nothing worth warming up. */
  readonly zygote: { readonly argv: readonly string[]; readonly env: Readonly<Record<string, string>> } | null
  /** Changes with everything that an earlier warmed process would lack; 8 letters. */
  readonly generation: string
}

/** Where the parts of a template lie on this host (see host/settings.ts). */
export interface Shelves {
  /** Built templates, one folder each. */
  readonly templates: string
  /** Programs of the runtimes, bound at /caisson/runtimes. */
  readonly programs: string
  readonly zygoteLibrary: string
}

/** Names of all templates, built or not. */
export function templateNames(): string[] {
  return Object.values(shelf).map((recipe) => recipe.name)
}

/** Homes are new each time, so a weekly check for newer versions would run at every command, and delay it. */
const NO_NEWS = { npm_config_update_notifier: 'false', PIP_DISABLE_PIP_VERSION_CHECK: '1' }

/** Rejects with TEMPLATE_UNKNOWN, or with TEMPLATE_NOT_BUILT when it has not been built by this version, or its Python is gone. */
export async function openTemplate(name: string, shelves: Shelves, signal: AbortSignal): Promise<Template> {
  if (!templateNames().includes(name)) {
    throw new Fault('TEMPLATE_UNKNOWN', `no template ${JSON.stringify(name)}; there are: ${templateNames().join(', ')}`)
  }
  const folder = join(shelves.templates, name)
  const { made, text } = await readMade(join(folder, 'template.json'), name, signal)
  const etc = join(folder, made.etc)
  const binds: Bind[] = made.host.map((path) => ({ source: path, target: path, mode: 'ro' }))
  binds.push({ source: etc, target: '/etc', mode: 'ro' }, { source: shelves.programs, target: '/caisson/runtimes', mode: 'ro' })
  const env = { PATH: searchPath(made.python !== null), LANG: 'C.UTF-8', ...NO_NEWS }
  const ground = await readlink(join(folder, 'ground'))
    .then((found) => join(folder, found))
    .catch(() => null)
  const shown = join(folder, shownImage(text))
  const image = await stat(shown).then(
    () => shown,
    () => null,
  )
  const preloads = await stat(join(etc, 'ld.so.preload')).then(
    () => true,
    () => false,
  )
  const common = {
    name,
    etc,
    binds,
    ground,
    shown: image,
    preloads,
    sudo: await sudoBinds(),
    symlinks: made.symlinks,
    env,
    languages: made.languages,
  }
  if (made.python === null) {
    return { ...common, zygote: null, generation: await generation(text, shelves, signal) }
  }
  const python = join(folder, made.python.folder)
  await stat(join(python, 'bin', 'python')).catch((cause: unknown) => {
    throw new Fault('TEMPLATE_NOT_BUILT', `the Python of template ${name} is gone (${made.python?.interpreter})`, { cause })
  })
  binds.push(
    { source: python, target: '/caisson/python', mode: 'ro' },
    { source: shelves.zygoteLibrary, target: '/caisson/zygote.so', mode: 'ro' },
  )
  return {
    ...common,
    zygote: {
      argv: ['/caisson/python/bin/python', '/caisson/runtimes/python/zygote.py', '/caisson/zygote.so'],
      // A prepared fork goes on as another thread in the kernel's view (native/zygote/src/moving.rs), and the kernel would write to the first one's rseq area.
      env: { ...env, GLIBC_TUNABLES: 'glibc.pthread.rseq=0' },
    },
    generation: await generation(text, shelves, signal),
  }
}

async function readMade(path: string, name: string, signal: AbortSignal): Promise<{ made: Made; text: string }> {
  let text: string
  try {
    text = await readFile(path, { encoding: 'utf8', signal })
  } catch (cause) {
    if (signal.aborted) throw new Fault('CANCELLED', 'cancelled by the caller', { cause })
    throw new Fault('TEMPLATE_NOT_BUILT', `template ${name} has not been built (${path})`, { cause })
  }
  try {
    const made = Made.parse(JSON.parse(text))
    if (made.name === name) return { made, text }
  } catch (cause) {
    throw new Fault('TEMPLATE_NOT_BUILT', `template ${name} was built by another version (${path})`, { cause })
  }
  throw new Fault('TEMPLATE_NOT_BUILT', `${path} belongs to another template`)
}

/** Increased when the zygote's plan changes in what its forks inherit. */
const ZYGOTE_WALL = '2'

/** Hashes sizes and times instead of contents: build.mjs does not touch a file that would not change. */
async function generation(made: string, shelves: Shelves, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256').update(made).update(shelves.programs).update(ZYGOTE_WALL)
  const folder = join(shelves.programs, 'python')
  const programs = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.py')).sort()
  const files = [shelves.zygoteLibrary, ...programs.map((name) => join(folder, name))]
  const found = await Promise.all(files.map((file) => stat(file)))
  if (signal.aborted) throw new Fault('CANCELLED', 'cancelled by the caller', { cause: signal.reason })
  for (const [index, { size, mtimeMs }] of found.entries()) hash.update(`${files[index]} ${size} ${mtimeMs}\n`)
  return hash.digest('hex').slice(0, 8)
}
