import { readdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Fault } from '@caisson/wire'
import { makeGround } from './ground.ts'
import { buildMachines, showTemplates } from './machines.ts'
import type { Made } from './made.ts'
import type { Recipe } from './recipe.ts'
import * as shelf from './shelf.ts'

/** Live sandboxes have folders of earlier builds mounted, and would see them empty once they are removed. */
const KEEP_EARLIER_MS = 24 * 3600 * 1000
/** Also sets up machines, for the microvm wall. */
const MACHINES = '--machines'

/** Builds one template in `templates`: new folders first, then template.json, replaced atomically. */
export async function buildTemplate(recipe: Recipe, templates: string, say: (line: string) => void, signal: AbortSignal): Promise<Made> {
  const folder = join(templates, recipe.name)
  const recipes = join(dirname(dirname(fileURLToPath(import.meta.url))), 'templates')
  const made = await recipe.build(folder, { files: join(recipes, recipe.name), say }, signal)
  const ground = await makeGround(folder, join(folder, made.etc), join(recipes, 'ground.py'), made.python?.interpreter ?? null, say, signal)
  if (ground !== null) await point(join(folder, 'ground'), ground)
  if (made.python !== null) await point(join(folder, 'interpreter'), made.python.interpreter)
  const path = join(folder, 'template.json')
  const text = `${JSON.stringify(made, null, 2)}\n`
  const now = new Date()
  if ((await readFile(path, 'utf8').catch(() => '')) === text) await utimes(path, now, now)
  else {
    await writeFile(`${path}.new`, text)
    await rename(`${path}.new`, path)
  }
  await removeEarlier(folder, [made.etc, made.python?.folder, ground])
  return made
}

/** Points a link to what was built. ./caisson compares `interpreter` with /usr/bin/python3; template.ts finds `ground`. */
async function point(path: string, to: string): Promise<void> {
  await rm(`${path}.new`, { force: true })
  await symlink(to, `${path}.new`)
  await rename(`${path}.new`, path)
}

async function removeEarlier(folder: string, current: readonly (string | null | undefined)[]): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!/^\.?(etc|python|ground)-/.test(name) || current.includes(name)) continue
    const unfinished = name.endsWith('.partial') || name.startsWith('.')
    if (unfinished || Date.now() - (await stat(join(folder, name))).ctimeMs > KEEP_EARLIER_MS) {
      await rm(join(folder, name), { recursive: true, force: true })
    }
  }
}

async function buildTemplates(
  names: readonly string[],
  templates: string | undefined,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  for (const name of names) {
    const recipe = Object.values(shelf).find((known) => known.name === name)
    if (templates === undefined || recipe === undefined) throw new Fault('TEMPLATE_UNKNOWN', `no template ${JSON.stringify(name)}`)
    await buildTemplate(recipe, templates, say, signal)
  }
}

/** node dist/setup.mjs [--machines] FOLDER NAME... */
async function main(argv: readonly string[]): Promise<number> {
  const [templates, ...names] = argv.filter((word) => word !== MACHINES)
  const stop = new AbortController()
  process.once('SIGTERM', () => stop.abort(new Error('stopped by SIGTERM')))
  const say = (line: string) => process.stdout.write(`${line}\n`)
  // The parts of machines are made concurrently: they wait for the disk, templates for the network and the CPU.
  const under = argv.includes(MACHINES) && templates !== undefined ? buildMachines(templates, say, stop.signal) : Promise.resolve(false)
  // Its result is awaited below; until then a failure must not count as unhandled.
  under.catch(() => false)
  try {
    await buildTemplates(names, templates, say, stop.signal)
    if ((await under) && templates !== undefined) await showTemplates(templates, names, say, stop.signal)
    return 0
  } catch (failure) {
    stop.abort(failure)
    await under.catch(() => false)
    say(failure instanceof Fault ? failure.line : `INTERNAL: ${failure instanceof Error ? failure.stack : String(failure)}`)
    return 1
  }
}

process.exitCode = await main(process.argv.slice(2))
