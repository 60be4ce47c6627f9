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
export async function runProgram(command: string, args: readonly string[], options: ProgramOptions = {}): Promise<string> {
  const { said, end } = await ended(command, args, options)
  if (end === 0) return said
  throw new Error(`${[command, ...args].join(' ')} ended with ${end}:\n${said}`)
}

function ended(command: string, args: readonly string[], options: ProgramOptions): Promise<{ said: string; end: number | string | null }> {
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
      resolve({ said, end: signal ?? code })
    })
  })
}

/**
 * Runs an acceptance program (see programs/): every step must hold, and the last line must say so. `lacking`: steps that cannot hold where it runs, and
 * why; those must fail, so that none is named for longer than it is true.
 */
export async function accept(
  command: string,
  args: readonly string[],
  environment: Record<string, string>,
  lacking: Readonly<Record<string, string>> = {},
): Promise<string[]> {
  const { said } = await ended(command, args, { environment, withinMs: 280_000 })
  const lines = said.split('\n')
  const held = lines.filter((line) => line.startsWith('ok '))
  const failed = lines.filter((line) => line.startsWith('FAILED ')).map((line) => line.slice('FAILED '.length).trim())
  const isWhole = held.length > 0 && said.trimEnd().endsWith(`${held.length} held, ${failed.length} failed`)
  const isAsSaid = failed.toSorted().join('\n') === Object.keys(lacking).toSorted().join('\n')
  if (!isWhole || !isAsSaid) throw new Error(`it has not held as it should:\n${said}`)
  return held
}
