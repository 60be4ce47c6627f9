import { execFile } from 'node:child_process'
import { chmod, chown, cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll } from 'vitest'
import type { Wall } from './attack.ts'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MAX_OUTPUT_BYTES = 1 << 20

/** Sandboxes that somebody without rights makes with the command line, one for each program. */
export function ofOrdinaryUser(): Wall & { readonly uid: number } {
  const name = `caisson-escape-${process.pid}`
  let uid = -1
  let place = ''

  beforeAll(async () => {
    await run('useradd', ['--system', '--no-create-home', '--shell', '/usr/sbin/nologin', name])
    uid = Number((await run('id', ['-u', name])).stdout)
    place = await mkdtemp('/var/tmp/cai-')
    await chmod(place, 0o755)
    for (const part of ['dist', 'native/bin', 'profiles']) await cp(join(ROOT, part), join(place, part), { recursive: true })
    const templates = process.env['CAISSON_TEMPLATES'] ?? join(process.env['CAISSON_HOME'] ?? join(homedir(), '.caisson'), 'templates')
    await mkdir(join(place, 'templates'))
    await run('cp', ['-a', join(templates, 'base'), join(place, 'templates')])
    await mkdir(join(place, 'home'), { mode: 0o700 })
    await chown(join(place, 'home'), uid, uid)
  })
  afterAll(async () => {
    await run('userdel', [name])
    await rm(place, { recursive: true, force: true })
  })

  return {
    get uid() {
      return uid
    },
    async run(command) {
      const id = ['--reuid', name, '--regid', String(uid), '--clear-groups', '--reset-env']
      const env = [`CAISSON_HOME=${join(place, 'home')}`, `CAISSON_TEMPLATES=${join(place, 'templates')}`, 'CAISSON_ZYGOTE_IDLE_MS=0']
      // Limits that need control groups can only be had where these were delegated, and are not what this is about.
      const options = ['--template', 'base', '--memory', 'none', '--cpus', 'none', '--pids', 'none', '--timeout', '60s']
      const caisson = [process.execPath, join(place, 'dist', 'caisson.cjs'), 'run', ...options, '--', ...command]
      try {
        const { stdout, stderr } = await run('setpriv', [...id, 'env', ...env, ...caisson], { cwd: place, maxBuffer: MAX_OUTPUT_BYTES })
        return { exitCode: 0, stdout, stderr }
      } catch (failure) {
        const { code, stdout, stderr } = failure as { code: number; stdout: string; stderr: string }
        return { exitCode: code, stdout, stderr }
      }
    },
  }
}
