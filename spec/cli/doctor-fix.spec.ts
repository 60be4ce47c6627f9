import { existsSync } from 'node:fs'
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runscs } from '../../host/walls/gvisor/found.ts'
import { CommandLine } from './invoke.ts'

// `caisson doctor --fix` for real, but for the packages: an apt-get of the spec's own puts this machine's engine where it is looked for, and nowhere else.

const [engine] = (await runscs(null, AbortSignal.timeout(30_000))).found
const isProven = engine !== undefined || process.env['CI'] === 'true'

let line: CommandLine
let bin: string
let place: string
beforeAll(async () => {
  line = await CommandLine.open()
  bin = join(line.folder, 'bin')
  place = join(line.folder, 'runsc')
  await mkdir(bin)
})
afterAll(async () => {
  await line[Symbol.asyncDispose]()
})

/** `script` is what apt-get does. */
async function fixed(script: string) {
  await writeFile(join(bin, 'apt-get'), `#!/bin/sh\necho "$*" >>${line.folder}/asked\n${script}\n`)
  await chmod(join(bin, 'apt-get'), 0o755)
  await rm(join(line.folder, 'asked'), { force: true })
  const env = { PATH: `${bin}:${process.env['PATH']}`, CAISSON_RUNSC: place }
  const ended = await line.caisson(['doctor', '--wall', 'gvisor', '--fix'], { env })
  return { ...ended, asked: await readFile(join(line.folder, 'asked'), 'utf8') }
}

describe.runIf(isProven)('where an engine is missing', () => {
  test('a package that cannot be had: it is said, and the wall is still not there', async () => {
    const { exitCode, stdout, stderr, asked } = await fixed('echo "E: no network" >&2; exit 100')
    expect(asked).toBe('install -y runsc\n')
    expect(stderr).toContain('caisson: apt-get install -y runsc\ncaisson: it failed: 100: E: no network\n')
    expect(stdout).toContain('fix: apt-get install -y runsc')
    expect(stdout).toContain('Something is missing')
    expect(exitCode).toBe(1)
  }, 300_000)

  test('what is missing is installed once, tried, and there', async () => {
    await rm(place, { force: true })
    const { exitCode, stdout, stderr, asked } = await fixed(`cp -p ${engine?.program} ${place}`)
    expect(asked).toBe('install -y runsc\n')
    expect(stderr).not.toContain('it failed')
    expect(stdout).toMatch(new RegExp(`✓ engine +${place} `))
    expect(stdout).toContain('✓ process isolation')
    expect(stdout).toContain('Sandboxes work on this machine. Walls: gvisor.')
    expect(exitCode).toBe(0)
  }, 300_000)
})

test('Ctrl-C while it looks: no report of half of it, which would call missing what was not tried, and nothing is mended', async () => {
  await writeFile(join(bin, 'apt-get'), `#!/bin/sh\necho "$*" >>${line.folder}/asked\n`)
  await chmod(join(bin, 'apt-get'), 0o755)
  await rm(join(line.folder, 'asked'), { force: true })
  await rm(place, { force: true })
  await writeFile(place, '#!/bin/sh\nkill -INT $PPID\nexec sleep 20\n')
  await chmod(place, 0o755)
  const env = { PATH: `${bin}:${process.env['PATH']}`, CAISSON_RUNSC: place }
  const ended = await line.caisson(['doctor', '--wall', 'gvisor', '--fix'], { env })
  expect(ended).toEqual({ exitCode: 130, stdout: '', stderr: '' })
  expect(existsSync(join(line.folder, 'asked'))).toBe(false)
}, 300_000)
