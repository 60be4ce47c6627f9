import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { lstat, mkdtemp, readdir, rmdir, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { getCurrentSuite } from 'vitest/suite'
import { Sandbox, type SandboxOptions } from '../../client/index.ts'

/**
 * An attack is a small Python program that is run twice: without the wall, where it must succeed, and within it, where it must not. An attack
 * that fails without the wall proves nothing about the wall, and one that breaks proves nothing at all.
 */
export interface Attack {
  /** What somebody would gain. */
  why: string
  /** Ways out: functions marked `@way('name')` that return evidence, or raise OSError or Contained. See attack.py. */
  code: string
  /** What the reason must look like, so that a typing error does not pass for a wall. */
  stoppedBy: RegExp
  /** Given to the program as `facts`; `walled` says on which side it runs. */
  facts?: (walled: boolean) => Record<string, unknown>
  /** `alone` (default): in mount, pid, uts and ipc namespaces of its own. `here`: among the host's processes. */
  place?: 'alone' | 'here'
  /** Without the wall: a descriptor of this process that the program gets as its number 3, as a careless launcher would leave it. */
  leak?: () => number
  /** Ways that this kernel does not have at all, and how it says so; anything else there is a failure, too. */
  missing?: Record<string, RegExp>
  users?: readonly string[]
  /** What must hold on the host after the attack within the wall. */
  untouched?: () => Promise<void> | void
  /** Puts the host right after the attack without the wall. */
  mend?: () => Promise<void> | void
}

export interface Verdict {
  verdict: 'ESCAPED' | 'CONTAINED'
  way: string
  text: string
}

/** Something that runs programs inside. */
export interface Wall {
  run(command: readonly [string, ...string[]], user: string): Promise<{ exitCode: number; stdout: string; stderr: string }>
}

export const python = String.raw

const PRELUDE = readFileSync(new URL('attack.py', import.meta.url), 'utf8')
const ALONE = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc', '--uts', '--ipc', '--']
const INTERPRETER = ['/usr/bin/python3', '-I', '-B', '-c'] as const
const PATIENCE_MS = 60_000
const MAX_OUTPUT_BYTES = 1 << 20

/** The attacks of other files, made on another wall: see other-walls.ts. */
interface Elsewhere {
  readonly wall: Wall & { readonly sandbox: Sandbox }
  /** Of this file: ways that mean nothing there, and why. */
  readonly moot: Readonly<Record<string, string>>
}

let elsewhere: Elsewhere | undefined
const moved = new Set<string>()

/**
 * Until `load` is over, attacks that it registers are made there, by root alone, who may do there all that a user may. Its other tests, which look at how the
 * container is built, are left out.
 */
export async function on(place: Elsewhere, load: () => Promise<unknown>): Promise<void> {
  elsewhere = place
  moved.clear()
  try {
    await load()
  } finally {
    elsewhere = undefined
  }
  const { tasks } = getCurrentSuite()
  tasks.splice(0, tasks.length, ...tasks.filter(({ name }) => moved.has(name)))
}

/** A sandbox that the attacks of one file share. */
export function shared(options: SandboxOptions = {}): Wall & { readonly sandbox: Sandbox } {
  if (elsewhere !== undefined) return elsewhere.wall
  let made: Sandbox | undefined
  beforeAll(async () => {
    made = await Sandbox.create({ template: 'base', timeoutMs: 300_000, ...options })
  })
  afterAll(async () => {
    await made?.kill()
  })
  const sandbox = (): Sandbox => {
    if (made === undefined) throw new Error('the sandbox has not been made')
    return made
  }
  return {
    get sandbox() {
      return sandbox()
    },
    run: (command, user) => sandbox().commands.run(command, { user, timeoutMs: PATIENCE_MS }),
  }
}

/** Registers the attack's tests. */
export function attack(wall: Wall, name: string, attack: Attack): void {
  const source = program(attack.code)
  if (elsewhere !== undefined) return attackElsewhere(elsewhere, name, attack, source)
  let outside: Promise<Verdict[]> | undefined
  const without = (): Promise<Verdict[]> => {
    outside ??= runOutside(source, attack).finally(() => attack.mend?.())
    return outside
  }

  describe(`${name} (${attack.why})`, () => {
    test('works without the wall', async () => {
      for (const { verdict, way, text } of await without()) {
        const missing = attack.missing?.[way]
        if (missing !== undefined && verdict === 'CONTAINED') expect(text).toMatch(missing)
        else expect(`${verdict} ${way}: ${text}`).toMatch(/^ESCAPED /)
      }
    })

    for (const user of attack.users ?? ['user', 'root']) {
      test(`is contained for ${user}`, async () => {
        const ways = (await without()).map(({ way }) => way)
        const result = await wall.run([...INTERPRETER, source, JSON.stringify(attack.facts?.(true) ?? {})], user)
        const verdicts = read(result.stdout, `exit ${result.exitCode}: ${result.stderr}`)
        for (const { verdict, way, text } of verdicts) expect(`${verdict} ${way}: ${text}`).toMatch(/^CONTAINED /)
        for (const { text } of verdicts) expect(text).toMatch(attack.stoppedBy)
        expect(verdicts.map(({ way }) => way)).toEqual(ways)
        await attack.untouched?.()
      })
    }
  })
}

/** That it works without a wall is shown where it is registered. What stops it is another kernel, which has other words. */
function attackElsewhere({ wall, moot }: Elsewhere, name: string, attack: Attack, source: string): void {
  const [user = 'root'] = attack.users?.includes('root') === false ? attack.users : ['root']
  const title = `${name}: contained for ${user}`
  moved.add(title)
  test(title, async () => {
    const result = await wall.run([...INTERPRETER, source, JSON.stringify(attack.facts?.(true) ?? {})], user)
    const verdicts = read(result.stdout, `exit ${result.exitCode}: ${result.stderr}`)
    const bad = verdicts.filter(({ verdict, way, text }) => moot[way] === undefined && (verdict !== 'CONTAINED' || !REFUSED.test(text)))
    expect(bad.map(({ verdict, way, text }) => `${verdict} ${way}: ${text}`)).toEqual([])
    await attack.untouched?.()
  })
}

const REFUSED = /^(E[A-Z]+|NONAME|TIMEOUT|SIGSYS|empty|stayed|refused|nothing is open|not there|still there)\b/

export function program(code: string): string {
  return `${PRELUDE}${code}\n\nrun_ways()\n`
}

/** As root on this machine, with nothing between. */
async function runOutside(source: string, { place = 'alone', leak, facts }: Attack): Promise<Verdict[]> {
  if (process.getuid?.() !== 0) throw new Error('the attacks without the wall need root: run these specs as root')
  const [command, ...args] = place === 'alone' ? ['/usr/bin/unshare', ...ALONE, ...INTERPRETER] : INTERPRETER
  const scratch = await mkdtemp(join(tmpdir(), 'caisson-scratch-'))
  const child = spawn(command, [...args, source, JSON.stringify({ ...facts?.(false), scratch })], {
    stdio: ['ignore', 'pipe', 'pipe', ...(leak === undefined ? [] : [leak()])],
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  })
  if (child.stdout === null || child.stderr === null) throw new Error('no pipes')
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(signal ?? String(code)))
  })
  const [stdout, stderr, end] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  // One level and no deeper: an attack may have mounted the host's own folders there, in its own namespace or, if that went wrong, here.
  for (const name of await readdir(scratch)) {
    const path = join(scratch, name)
    await ((await lstat(path)).isDirectory() ? rmdir(path) : unlink(path))
  }
  await rmdir(scratch)
  return read(stdout, `exit ${end}: ${stderr}`)
}

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of stream) {
    bytes += piece.length
    if (bytes > MAX_OUTPUT_BYTES) throw new Error('the attack says too much')
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString()
}

export function read(stdout: string, otherwise: string): Verdict[] {
  const lines = stdout.split('\n').slice(0, -1)
  const verdicts = lines.map((line): Verdict => {
    const [verdict, way, text] = line.split('\t')
    if ((verdict !== 'ESCAPED' && verdict !== 'CONTAINED') || way === undefined || text === undefined) {
      throw new Error(`the attack is broken: it said ${JSON.stringify(line)}`)
    }
    return { verdict, way, text }
  })
  if (verdicts.length === 0 || !otherwise.startsWith('exit 0:')) throw new Error(`the attack is broken: ${otherwise}`)
  return verdicts
}
