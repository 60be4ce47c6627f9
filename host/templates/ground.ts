import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Fault } from '@caisson/wire'

const execute = promisify(execFile)
const PYTHON = '/usr/bin/python3'

/**
 * Makes `ground-HASH` below `folder`, unless it is there: what lies between this machine's /usr and a root that can be written to (templates/ground.py,
 * `program`). `interpreter`: of the template's Python; null: it has none. Gives its name; null without root or Python, where there is no such root.
 */
export async function makeGround(
  folder: string,
  etc: string,
  program: string,
  interpreter: string | null,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<string | null> {
  if (process.getuid?.() !== 0 || !existsSync(PYTHON)) return null
  say('what lies under a root that can be written to')
  const draft = join(folder, `.ground-${randomUUID()}`)
  try {
    const { stdout } = await execute(PYTHON, ['-I', '-B', program, draft, etc, ...(interpreter === null ? [] : [interpreter])], { signal })
    const name = `ground-${stdout.slice(0, 8)}`
    if (!existsSync(join(folder, name))) await rename(draft, join(folder, name))
    return name
  } catch (cause) {
    throw new Fault('TEMPLATE_BUILD_FAILED', `the ground of a root: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}
