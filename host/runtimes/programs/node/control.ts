import { writeSync } from 'node:fs'
import { Socket } from 'node:net'

/** What the host asks; the shapes are in host/runtimes/runtime.ts. */
export type Request =
  | { op: 'init'; cwd: string; env: Record<string, string>; seed: string }
  | { op: 'run'; id: number; code: string; env: Record<string, string>; program?: { path: string; args: string[] } }
  | { op: 'interrupt'; id: number }
  | { op: 'renew' }

/** Taken before code that runs here can put its own in their place. */
export const { parse, stringify } = JSON

const DESCRIPTOR = 3
/** What the host takes of one message (MAX_RUNTIME_MESSAGE_BYTES in wire/limits.ts), with some room. */
const MAX_LINE_BYTES = 31 * 1024 * 1024
const RETRY_MS = 1

/** The control channel: JSON lines, both ways. Node has marked its descriptor close-on-exec when it started. */
export class Control {
  readonly #socket = new Socket({ fd: DESCRIPTOR, readable: true, writable: true })
  readonly #pause = new Int32Array(new SharedArrayBuffer(4))
  #unread = ''

  /** `gone` is called when there is no host any more. */
  listen(hear: (request: Request) => void, gone: () => void): void {
    this.#socket.setEncoding('utf8')
    this.#socket.on('data', (text: string) => {
      const lines = (this.#unread + text).split('\n')
      this.#unread = lines.pop() ?? ''
      for (const line of lines) hear(parse(line) as Request)
    })
    this.#socket.on('end', gone)
    this.#socket.on('error', gone)
  }

  /** A program that waits for nothing ends, whether or not the host could still say something. */
  unref(): void {
    this.#socket.unref()
  }

  /** Said before it returns, so that it keeps its place among what is printed. Returns the bytes; 0: too long, and not said. */
  send(message: object): number {
    const line = Buffer.from(`${stringify(message)}\n`, 'utf8')
    if (line.length > MAX_LINE_BYTES) return 0
    let sent = 0
    while (sent < line.length) {
      try {
        sent += writeSync(DESCRIPTOR, line, sent)
      } catch (error) {
        // The socket does not block, and the host reads at its own pace.
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
        Atomics.wait(this.#pause, 0, 0, RETRY_MS)
      }
    }
    return line.length
  }
}
