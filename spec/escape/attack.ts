import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { getCurrentSuite } from 'vitest/suite'
import { type Attack, INTERPRETER, program, python, read, type Verdict } from '../../client/attacks/attack.ts'
import { runOutside } from '../../client/attacks/outside.ts'
import type { Granted } from '../../client/attacks/own-kernel.ts'
import type { Stage } from '../../client/attacks/stage.ts'
import { Sandbox, type SandboxOptions } from '../../client/index.ts'

/** Something that runs programs inside. */
export interface Wall {
  run(command: readonly [string, ...string[]], user: string): Promise<{ exitCode: number; stdout: string; stderr: string }>
}

const PATIENCE_MS = 60_000

/** The attacks of other files, made on another wall: see other-walls.spec.ts. */
interface Elsewhere {
  readonly wall: Wall & { readonly sandbox: Sandbox }
  /** By the names of attacks: ways that mean nothing there, and why. */
  readonly moot: Granted
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
    outside ??= runOutside(attack).finally(() => attack.mend?.())
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
    const bad = verdicts.filter(
      ({ verdict, way, text }) => moot[name]?.[way] === undefined && (verdict !== 'CONTAINED' || !REFUSED.test(text)),
    )
    expect(bad.map(({ verdict, way, text }) => `${verdict} ${way}: ${text}`)).toEqual([])
    await attack.untouched?.()
  })
}

const REFUSED = /^(E[A-Z]+|NONAME|TIMEOUT|SIGSYS|empty|stayed|refused|nothing is open|not there|still there)\b/

/** Those of a stage, which is there while they run. */
export function attackAll(wall: Wall, stage: Stage): void {
  beforeAll(() => stage.open())
  afterAll(() => stage[Symbol.asyncDispose]())
  for (const one of stage.attacks) attack(wall, one.name, one)
}

export { program, python, read }
