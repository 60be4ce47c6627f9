import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Attack, INTERPRETER, program, python, read, type Verdict } from '../../client/attacks/attack.ts'
import { runOutside } from '../../client/attacks/outside.ts'
import type { Stage } from '../../client/attacks/stage.ts'
import { Sandbox, type SandboxOptions } from '../../client/index.ts'

/** Something that runs programs inside. */
export interface Wall {
  run(command: readonly [string, ...string[]], user: string): Promise<{ exitCode: number; stdout: string; stderr: string }>
}

const PATIENCE_MS = 60_000

/** A sandbox that the attacks of one file share. */
export function shared(options: SandboxOptions = {}): Wall & { readonly sandbox: Sandbox } {
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

/** Those of a stage, which is there while they run. */
export function attackAll(wall: Wall, stage: Stage): void {
  beforeAll(() => stage.open())
  afterAll(() => stage[Symbol.asyncDispose]())
  for (const one of stage.attacks) attack(wall, one.name, one)
}

export { program, python, read }
