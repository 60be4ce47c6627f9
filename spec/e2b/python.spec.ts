import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SpecDaemon } from '../api/daemon.ts'
import { accept, PROGRAMS, runProgram } from './program.ts'
import { pythonWith } from './python.ts'

const folder = join(PROGRAMS, 'python')
const README = 'readme.py'
const WHOLE = 'whole.py'

describe("E2B's Python packages, unmodified: e2b and e2b-code-interpreter", () => {
  let daemon: SpecDaemon
  let python: string

  beforeAll(async () => {
    python = await pythonWith('requirements.txt')
    daemon = await SpecDaemon.open({ hasPool: true })
  }, 600_000)

  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]()
  })

  for (const name of readdirSync(folder).filter((file) => file.endsWith('.py') && ![README, WHOLE, 'steps.py'].includes(file))) {
    it(name, { timeout: 300_000 }, async () => {
      await accept(python, [join(folder, name)], daemon.environment)
    })
  }

  it('the first program of their README prints where it is', async () => {
    expect(await runProgram(python, [join(folder, WHOLE), join(folder, README)], { environment: daemon.environment })).toBe('/home/user\n')
  })
})
