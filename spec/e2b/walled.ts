import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { WallName } from '../../wire/index.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { onWall } from '../walls/every-wall.ts'
import { accept, PROGRAMS, runProgram } from './program.ts'
import { pythonWith } from './python.ts'

/** Why steps cannot hold, by their names. */
export type Lacking = Readonly<Record<string, string>>

/** The acceptance programs behind a wall: by name, with what this wall has not. They share a daemon; each has sandboxes of its own. */
export function acceptedOn(wall: WallName, programs: Readonly<Record<string, Lacking>>): void {
  onWall(wall, () => {
    let daemon: SpecDaemon | undefined
    let python: string
    let environment: Record<string, string>
    beforeAll(async () => {
      python = await pythonWith('requirements.txt')
      daemon = await SpecDaemon.open()
      // The programs name no wall, and run as they are: whatever is made with this key stands behind it.
      const body = JSON.stringify({ owner: 'acceptance', leastWall: wall })
      const response = await daemon.fetch('/caisson/v1/keys', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
      environment = { ...daemon.environment, E2B_API_KEY: ((await response.json()) as { key: string }).key }
    }, 600_000)
    afterAll(async () => {
      await daemon?.[Symbol.asyncDispose]()
    })

    for (const [name, lacking] of Object.entries(programs)) {
      const [command, folder] = name.endsWith('.py') ? [() => python, 'python'] : [() => process.execPath, 'javascript']
      test(name, { timeout: 300_000 }, async () => {
        await accept(command(), [join(PROGRAMS, folder, name)], environment, lacking)
      })
    }

    test('the first program of their README prints where it is', { timeout: 300_000 }, async () => {
      const program = ['whole.py', 'readme.py'].map((name) => join(PROGRAMS, 'python', name))
      expect(await runProgram(python, program, { environment, withinMs: 280_000 })).toBe('/home/user\n')
    })
  })
}
