import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SignedReport } from '../../client/attacks/report.ts'
import { CommandLine, ROOT } from '../cli/invoke.ts'

// The attacks are only worth something if they notice. A keeper is built that leaves out steps of the wall, and installed beside everything else as it is.

const BUILD_MS = 900_000
const TARGET = join(ROOT, 'native/target/weakened')
const built = { program: '' }
let line: CommandLine
let installation: string

beforeAll(async () => {
  // Nobody debugs it: without what a debugger wants it is built in less time.
  const cargo = ['build', '--locked', '--config', 'profile.dev.debug=false', '-p', 'caisson-keeper', '--features', 'weakened']
  execFileSync('cargo', [...cargo, '--target-dir', TARGET], {
    cwd: join(ROOT, 'native'),
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: BUILD_MS,
  })
  const folders = readdirSync(TARGET, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const places = folders.map(({ name }) => join(TARGET, name, 'debug', 'caisson-keeper'))
  built.program = places.find((path) => statSync(path, { throwIfNoEntry: false })?.isFile()) ?? 'no keeper was built'
  line = await CommandLine.open()
  installation = join(line.folder, 'i')
  for (const folder of ['dist', 'native/bin']) mkdirSync(join(installation, folder), { recursive: true })
  // Copied, since an installation is where its programs are.
  for (const name of readdirSync(join(ROOT, 'dist')).filter((name) => /\.[cm]js$/.test(name))) {
    cpSync(join(ROOT, 'dist', name), join(installation, 'dist', name))
  }
  symlinkSync(join(ROOT, 'dist/runtimes'), join(installation, 'dist/runtimes'))
  for (const name of ['profiles', 'templates', 'node_modules']) symlinkSync(join(ROOT, name), join(installation, name))
  for (const name of readdirSync(join(ROOT, 'native/bin')).filter((name) => name !== 'caisson-keeper')) {
    symlinkSync(join(ROOT, 'native/bin', name), join(installation, 'native/bin', name))
  }
  cpSync(built.program, join(installation, 'native/bin/caisson-keeper'))
}, BUILD_MS)
afterAll(async () => {
  await line?.[Symbol.asyncDispose]()
})

async function attacked(without: string, only: string) {
  writeFileSync(join(installation, 'native/bin/without'), without)
  const words = [join(installation, 'dist/caisson.cjs'), 'attack', '--wall', 'container', '--only', only, '--json']
  const { exitCode, stdout, stderr } = await line.invoke(process.execPath, words)
  if (stdout === '') throw new Error(stderr)
  const { report } = JSON.parse(stdout) as SignedReport
  const ways = report.walls.flatMap(({ tried, unavailable }) => {
    if (unavailable !== null) throw new Error(unavailable)
    return tried.flatMap(({ ways }) => ways)
  })
  return { exitCode, contained: report.contained, escaped: ways.filter(({ within }) => within === 'escaped').map(({ way }) => way) }
}

const STEPS = [
  ['system calls', 'nesting namespaces'],
  ['capabilities', 'capabilities of a file'],
  ['read-only switches', 'switches of the kernel'],
  ['masks', 'memory and secrets of the kernel'],
  ['network', 'sockets of the host'],
  ['host files', 'reading files of the host'],
  ['own ids', 'ids of the host'],
  ['core limit', 'core_pattern'],
] as const

/** A second lock: with the first steps left out it holds alone, and without it too nothing does. */
const SECOND = [
  ['set-uid files', 'new privileges', 'a set-uid program'],
  ['system calls,capabilities', 'landlock', 'remounting'],
] as const

test.each(STEPS)(
  'without the step "%s", the attack "%s" gets out, and the report is red; with it, it does not',
  async (step, only) => {
    const red = await attacked(step, only)
    expect(red.escaped).not.toEqual([])
    expect([red.exitCode, red.contained]).toEqual([1, false])
    const green = await attacked('', only)
    expect(green).toEqual({ exitCode: 0, contained: true, escaped: [] })
  },
  240_000,
)

test.each(SECOND)(
  'without "%s", "%s" still holds against the attack "%s"; without both, the report is red',
  async (first, second, only) => {
    expect(await attacked(first, only)).toEqual({ exitCode: 0, contained: true, escaped: [] })
    const red = await attacked(`${first},${second}`, only)
    expect(red.escaped).not.toEqual([])
    expect([red.exitCode, red.contained]).toEqual([1, false])
  },
  240_000,
)

test('no step that can be left out is missing here', () => {
  const source = readFileSync(join(ROOT, 'native/keeper/src/weakened.rs'), 'utf8')
  const names = [...source.matchAll(/^ {4}\("([a-z -]+)", Step::/gm)].map(([, name]) => name)
  const shown = [...STEPS.map(([step]) => step), ...SECOND.flatMap(([first, second]) => [...first.split(','), second])]
  expect(names.length).toBeGreaterThan(10)
  expect(new Set(shown)).toEqual(new Set(names))
})

test('the keeper that ships has no such switch', () => {
  const names = STEPS.map(([step]) => step).filter((step) => step.includes(' '))
  const shipped = readFileSync(join(ROOT, 'native/bin/caisson-keeper'))
  const weakened = readFileSync(built.program)
  expect(names.filter((name) => weakened.includes(name))).toEqual(names)
  expect(names.filter((name) => shipped.includes(name))).toEqual([])
})
