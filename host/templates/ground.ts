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
 * Makes `ground-HASH` in `folder`, unless it exists: the layer between this machine's /usr and a writable root (templates/ground.py, `program`). `interpreter`:
 * the template's Python; null: it has none. Returns its name; null without root or Python, since there is no writable root then.
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
