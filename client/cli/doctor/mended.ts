import { spawn } from 'node:child_process'
import type { DoctorReport } from '../../embedded.ts'
import { oneLine } from '../ending.ts'

/** Commands that change this machine. The report's other commands only inspect it. */
const MENDS = /^(apt-get install -y [a-z0-9.+ -]+|modprobe [a-z0-9_ -]+|mount -t cgroup [a-zA-Z0-9_/ -]+)$/

/** Runs each repair command once and announces it. True: something was run. */
export async function mended(report: DoctorReport): Promise<boolean> {
  const commands = new Set(
    report.walls.flatMap(({ findings }) => findings.filter(({ severity }) => severity !== 'fine').flatMap(({ mend }) => mend ?? [])),
  )
  let isAny = false
  for (const command of [...commands].filter((one) => MENDS.test(one))) {
    isAny = true
    process.stderr.write(`caisson: ${command}\n`)
    const problem = await run(command)
    if (problem !== undefined) process.stderr.write(`caisson: it failed: ${oneLine(problem)}\n`)
  }
  return isAny
}

/** Undefined: success. */
function run(command: string): Promise<string | undefined> {
  const [program = '', ...args] = command.split(' ')
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', (text: Buffer) => {
      said = (said + text.toString('utf8')).slice(-500)
    })
    child.on('error', ({ message }) => resolve(message))
    child.on('close', (code, signal) => resolve(code === 0 ? undefined : `${signal ?? code}: ${said.trim()}`))
  })
}
