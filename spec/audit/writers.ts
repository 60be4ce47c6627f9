import { spawn } from 'node:child_process'
import { RECORDER } from './logs.ts'

/** A process that does nothing but append to a log, as fast as it can, until it is ended or has done so many. */
const WRITER = `
const [recorder, path, name, count, length] = process.argv.slice(1)
const native = require(recorder)
const log = native.open(path)
for (let number = 0; number < Number(count); number += 1) {
  native.append(log, JSON.stringify({ kind: 'command', sandbox: name, number, text: 'x'.repeat(Number(length)) }))
  if (number === 10) process.stdout.write('going')
}
`

export class Writer {
  readonly #child
  readonly ended: Promise<string>
  readonly going: Promise<void>

  constructor(path: string, name: string, count: number, length = 20) {
    this.#child = spawn(process.execPath, ['-e', WRITER, RECORDER, path, name, String(count), String(length)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      this.#child.once('close', (code, signal) => resolve(signal ?? String(code)))
    })
    this.going = new Promise((resolve) => {
      this.#child.stdout.once('data', () => resolve())
    })
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}
