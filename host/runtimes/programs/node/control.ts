import { writeSync } from 'node:fs'
import { Socket } from 'node:net'

/** Requests of the host, as defined in host/runtimes/runtime.ts. */
export type Request =
  | { op: 'init'; cwd: string; env: Record<string, string>; seed: string }
  | { op: 'run'; id: number; code: string; env: Record<string, string>; program?: { path: string; args: string[] } }
  | { op: 'interrupt'; id: number }
  | { op: 'renew' }

/** Saved before user code can replace them. */
export const { parse, stringify } = JSON

const DESCRIPTOR = 3
/** The host's limit for one message (MAX_RUNTIME_MESSAGE_BYTES in wire/limits.ts), with some margin. */
const MAX_LINE_BYTES = 31 * 1024 * 1024
const RETRY_MS = 1

/** The control channel: JSON lines in both directions. Node made the descriptor close-on-exec at its start. */
export class Control {
  readonly #socket = new Socket({ fd: DESCRIPTOR, readable: true, writable: true })
  readonly #pause = new Int32Array(new SharedArrayBuffer(4))
  #unread = ''

  /** `gone` is called when the host has gone. */
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

  /** Lets a program with nothing left to wait for end, although the host could still send something. */
  unref(): void {
    this.#socket.unref()
  }

  /** Writes synchronously, so that the message keeps its place in the output. Returns its size in bytes; 0: too long, so not sent. */
  send(message: object): number {
    const line = Buffer.from(`${stringify(message)}\n`, 'utf8')
    if (line.length > MAX_LINE_BYTES) return 0
    let sent = 0
    while (sent < line.length) {
      try {
        sent += writeSync(DESCRIPTOR, line, sent)
      } catch (error) {
        // The socket is non-blocking, and the host reads at its own pace.
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
        Atomics.wait(this.#pause, 0, 0, RETRY_MS)
      }
    }
    return line.length
  }
}
