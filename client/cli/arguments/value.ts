import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'

const LINE_END = /\r?\n$/
const LINE_END_BYTES = 2
const INTERRUPTED = 130

/**
 * Reads a secret value: all of standard input without the trailing newline that editors add. It reads only enough to see that the value exceeds `most` bytes.
 * On a terminal it prompts for one line without echo.
 */
export async function hiddenValue(name: string, most: number): Promise<Buffer> {
  const said = process.stdin.isTTY ? Buffer.from(await typed(name)) : await piped(most + LINE_END_BYTES)
  // latin1 preserves every byte: the value need not be text.
  return Buffer.from(said.toString('latin1').replace(LINE_END, ''), 'latin1')
}

async function piped(most: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of process.stdin) {
    parts.push(part as Buffer)
    bytes += (part as Buffer).length
    if (bytes > most) break
  }
  return Buffer.concat(parts)
}

function typed(name: string): Promise<string> {
  const nowhere = new Writable({ write: (_, __, done) => done() })
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true })
  // The prompt appears only once echo is off.
  process.stderr.write(`caisson: type the value of ${name}, which is not shown, and Enter: `)
  return new Promise((resolve) => {
    lines.on('SIGINT', () => {
      lines.close()
      process.exit(INTERRUPTED)
    })
    lines.once('line', resolve).once('line', () => lines.close())
    lines.once('close', () => {
      process.stderr.write('\n')
      resolve('')
    })
  })
}
