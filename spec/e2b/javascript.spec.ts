import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { SpecDaemon } from '../api/daemon.ts'
import { accept, PROGRAMS } from './program.ts'

const folder = join(PROGRAMS, 'javascript')

describe("E2B's JavaScript packages, unmodified: e2b and @e2b/code-interpreter", () => {
  let daemon: SpecDaemon

  beforeAll(async () => {
    daemon = await SpecDaemon.open({ hasPool: true })
  })

  afterAll(async () => {
    await daemon[Symbol.asyncDispose]()
  })

  for (const name of readdirSync(folder).filter((file) => file !== 'steps.mjs')) {
    it(name, { timeout: 300_000 }, async () => {
      await accept(process.execPath, [join(folder, name)], daemon.environment)
    })
  }
})
