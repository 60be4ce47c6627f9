import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { runProgram } from './program.ts'

const FOLDER = join(process.env['CAISSON_HOME'] ?? join(homedir(), '.caisson'), 'spec-python')

/**
 * The interpreter of an environment with exactly the named requirements (a file of this folder). Made where it is missing, which takes half a
 * minute and the network, and kept between runs below the state folder; what cannot be installed fails the spec that needs it.
 */
export async function pythonWith(requirements: string): Promise<string> {
  const list = join(import.meta.dirname, requirements)
  const stamp = createHash('sha256')
    .update(await readFile(list))
    .digest('hex')
  const environment = join(FOLDER, stamp.slice(0, 16))
  const python = join(environment, 'bin', 'python')
  if (existsSync(python)) return python
  console.log(`Python packages of spec/e2b/${requirements}: installing into ${environment}`)
  await mkdir(FOLDER, { recursive: true, mode: 0o700 })
  // Its own place until it is whole; scripts that name that place are not used.
  const unfinished = `${environment}.${process.pid}`
  await rm(unfinished, { recursive: true, force: true })
  await runProgram('/usr/bin/python3', ['-m', 'venv', unfinished])
  await runProgram(join(unfinished, 'bin', 'python'), ['-m', 'pip', 'install', '--progress-bar', 'off', '--no-deps', '-r', list], {
    aloud: true,
  })
  await rename(unfinished, environment)
  return python
}
