import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { lstat, mkdir, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Fault } from '@caisson/wire'
import type { Made } from './made.ts'

/** The machine's own Python: another one that comes first in PATH may lie in a user's home. */
const INTERPRETER = '/usr/bin/python3'
const OLDEST = [3, 11] as const
const INSTALL = 'As root, run: apt-get install -y python3 python3-venv'
/** Path of the environment inside. Everything in it that contains its own path must contain this one. */
const INSIDE = '/caisson/python'
/** Increased when the steps below change their output. */
const RECIPE = 1

type Say = (line: string) => void

/** Makes `python-HASH` in `folder`, unless it exists: a virtual environment with exactly `requirements`. */
export async function makePython(
  folder: string,
  requirements: string,
  say: Say,
  signal: AbortSignal,
): Promise<NonNullable<Made['python']>> {
  const { interpreter, version } = await findInterpreter(signal)
  const wanted = await readFile(requirements, 'utf8')
  const hash = createHash('sha256').update(`${RECIPE} ${INSIDE} ${interpreter} ${version}\n${wanted}`).digest('hex').slice(0, 8)
  const made = { folder: `python-${hash}`, interpreter }
  if (await exists(join(folder, made.folder))) return made
  const partial = join(folder, `${made.folder}.partial`)
  await rm(partial, { recursive: true, force: true })
  say(`Python ${version}: a virtual environment`)
  const pip = await makeEnvironment(partial, interpreter, signal)
  await run([...pip, 'install', '--requirement', requirements, ...PIP_OPTIONS], say, signal)
  say('Python: a list of fonts for matplotlib')
  await warmFonts(partial, signal)
  say('Python: moving it to its place')
  await speakOfInside(partial)
  say('Python: compiling')
  await compile(partial, signal)
  await rename(partial, join(folder, made.folder))
  return made
}

const PIP_OPTIONS = [
  '--no-compile',
  '--no-user',
  '--only-binary',
  ':all:',
  '--progress-bar',
  'off',
  '--disable-pip-version-check',
  '--no-input',
]

async function findInterpreter(signal: AbortSignal): Promise<{ interpreter: string; version: string }> {
  if (!(await exists(INTERPRETER))) throw new Fault('LANGUAGE_UNAVAILABLE', `there is no ${INTERPRETER}`, { hint: INSTALL })
  const version = (await run([INTERPRETER, '-c', 'import platform; print(platform.python_version())'], () => undefined, signal)).trim()
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major !== OLDEST[0] || minor < OLDEST[1]) {
    throw new Fault('LANGUAGE_UNAVAILABLE', `${INTERPRETER} is Python ${version}`, {
      hint: `Python ${OLDEST.join('.')} or newer is needed.`,
    })
  }
  return { interpreter: await realpath(INTERPRETER), version }
}

/** Returns the pip command to fill it with: its own, or the machine's if the machine has no ensurepip. */
async function makeEnvironment(to: string, interpreter: string, signal: AbortSignal): Promise<string[]> {
  const silent = () => undefined
  const venv = [interpreter, '-I', '-B', '-m', 'venv', '--symlinks']
  if (await succeeds([interpreter, '-I', '-B', '-c', 'import ensurepip'], signal)) {
    await run([...venv, to], silent, signal)
    return [join(to, 'bin', 'python'), '-I', '-B', '-m', 'pip']
  }
  if (await succeeds([interpreter, '-I', '-B', '-m', 'pip', '--version'], signal)) {
    await run([...venv, '--without-pip', to], silent, signal)
    return [interpreter, '-I', '-B', '-m', 'pip', '--python', join(to, 'bin', 'python')]
  }
  throw new Fault('LANGUAGE_UNAVAILABLE', `${interpreter} has neither ensurepip nor pip`, { hint: INSTALL })
}

/**
 * matplotlib searches for fonts at its first import and caches the list in a writable folder. Inside, no such folder outlives a sandbox, so matplotlib is
 * patched to read a list beside its own data first.
 */
async function warmFonts(environment: string, signal: AbortSignal): Promise<void> {
  const python = join(environment, 'bin', 'python')
  const scratch = join(environment, 'scratch')
  await mkdir(scratch)
  const where = 'import matplotlib, matplotlib.font_manager; print(matplotlib.__path__[0])'
  const found = await run([python, '-I', '-B', '-c', where], () => undefined, signal, {
    MPLCONFIGDIR: scratch,
    HOME: scratch,
    XDG_DATA_HOME: scratch,
  })
  const list = (await readdir(scratch)).find((name) => name.startsWith('fontlist'))
  const source = join(found.trim(), 'font_manager.py')
  const text = await readFile(source, 'utf8')
  const reads = 'fm = json_load(fm_path)'
  if (list === undefined || text.split(reads).length !== 2) {
    throw new Fault('TEMPLATE_BUILD_FAILED', 'this matplotlib keeps its list of fonts in another way than the recipe knows')
  }
  await rename(join(scratch, list), join(found.trim(), 'mpl-data', 'fontlist.json'))
  await writeFile(
    source,
    text.replace(reads, 'fm = json_load(fm_path if fm_path.exists() else Path(mpl.get_data_path(), "fontlist.json"))'),
  )
  await rm(scratch, { recursive: true })
}

/** Replaces the build path by the path inside: scripts start with their interpreter's path, and pyvenv.cfg says where it was made. */
async function speakOfInside(environment: string): Promise<void> {
  const bin = join(environment, 'bin')
  const files = (await readdir(bin)).map((name) => join(bin, name))
  for (const file of [...files, join(environment, 'pyvenv.cfg')]) {
    if (!(await lstat(file)).isFile()) continue
    const text = await readFile(file, 'latin1')
    if (text.includes(environment)) await writeFile(file, text.replaceAll(environment, INSIDE), 'latin1')
  }
}

/**
 * Compiles in advance, because no sandbox can keep bytecode. Unchecked, because nothing can change there, and so that a copy of the folder stays valid. The
 * packages' own tests are a third of all files, and nobody runs them.
 */
async function compile(environment: string, signal: AbortSignal): Promise<void> {
  const from = ['-x', '/tests/', '-s', environment, '-p', INSIDE, join(environment, 'lib')]
  const python = join(environment, 'bin', 'python')
  // Some packages contain invalid Python on purpose, for their tests: exit code 1 means that some was found.
  await run(
    [python, '-I', '-B', '-m', 'compileall', '-q', '-q', '-j', '0', '--invalidation-mode', 'unchecked-hash', ...from],
    () => undefined,
    signal,
    {},
    [0, 1],
  )
}

async function succeeds(argv: string[], signal: AbortSignal): Promise<boolean> {
  const child = spawn(argv[0] ?? '', argv.slice(1), { stdio: 'ignore', signal })
  const [code] = await once(child, 'close')
  return code === 0
}

/** Runs a step, reports each of its lines, and returns its standard output. */
async function run(
  argv: string[],
  say: Say,
  signal: AbortSignal,
  env: Record<string, string> = {},
  fine: readonly number[] = [0],
): Promise<string> {
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const child = spawn('/usr/bin/env', [...settings, ...argv], { stdio: ['ignore', 'pipe', 'pipe'], signal })
  const printed: string[] = []
  const lines: string[] = []
  const hear = (line: string) => {
    lines.push(line)
    say(line)
  }
  createInterface({ input: child.stdout }).on('line', (line) => {
    printed.push(line)
    hear(line)
  })
  createInterface({ input: child.stderr }).on('line', hear)
  const [code, killed]: [number | null, string | null] = (await once(child, 'close')) as [number | null, string | null]
  if (code !== null && fine.includes(code)) return printed.join('\n')
  const step = argv.slice(0, 6).join(' ')
  throw new Fault('TEMPLATE_BUILD_FAILED', `${step} ... ended with ${killed ?? code}: ${lines.slice(-5).join(' / ')}`)
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}
