import { spawn } from 'node:child_process'
import { join } from 'node:path'

interface ProgramOptions {
  environment?: Record<string, string>
  /** Print what it says as it says it. */
  aloud?: boolean
  /** Killed when it has not ended by then: a program that hangs has failed. */
  withinMs?: number
}

export const PROGRAMS = join(import.meta.dirname, 'programs')

/** Runs a program to its end and gives back what it said. Throws with all of that when it ends in any way but 0. */
export function runProgram(command: string, args: readonly string[], options: ProgramOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', PYTHONUNBUFFERED: '1', ...options.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    const keep = (text: string) => {
      said += text
      if (options.aloud) process.stdout.write(text)
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    const hung = setTimeout(() => {
      keep(`\nkilled: it has not ended within ${options.withinMs} ms\n`)
      child.kill('SIGKILL')
    }, options.withinMs ?? 600_000)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(hung)
      if (code === 0) resolve(said)
      else reject(new Error(`${[command, ...args].join(' ')} ended with ${signal ?? code}:\n${said}`))
    })
  })
}

/** Runs an acceptance program (see programs/): every step must hold, and the last line must say so. */
export async function accept(command: string, args: readonly string[], environment: Record<string, string>): Promise<string[]> {
  const said = await runProgram(command, args, { environment, withinMs: 280_000 })
  const held = said.split('\n').filter((line) => line.startsWith('ok '))
  if (held.length === 0 || !said.trimEnd().endsWith(`${held.length} held, 0 failed`)) throw new Error(`it has not run to its end:\n${said}`)
  return held
}
