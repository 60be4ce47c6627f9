import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'

/**
 * An answer that comes piece by piece. What comes in one turn of the event loop goes out in one write, and what has ended before anything went out goes out as one
 * whole with its length: each write wakes the client, and costs more than most of what it carries. Until the first write the answer may still be another.
 */
export class StreamedAnswer {
  readonly #reply: ServerResponse
  readonly #headers: OutgoingHttpHeaders
  readonly #firstMs: number
  readonly #full: (() => void) | undefined
  #pieces: Uint8Array[] = []
  #first: NodeJS.Timeout | undefined
  #flush: NodeJS.Immediate | undefined
  #drained: Promise<void> | undefined

  /** What begins the answer waits so long for what comes after it. `full` is called when the client has been sent more than it takes. */
  constructor(reply: ServerResponse, headers: OutgoingHttpHeaders, firstMs: number, full?: () => void) {
    this.#reply = reply
    this.#headers = headers
    this.#firstMs = firstMs
    this.#full = full
  }

  /** While the result is pending, the client has more to read than it can take. */
  say(piece: Uint8Array): void | Promise<void> {
    this.#pieces.push(piece)
    if (this.#flush !== undefined) return this.#drained
    if (this.#first === undefined && !this.#reply.headersSent) this.#first = setTimeout(() => this.#send(), this.#firstMs)
    else this.#flush = setImmediate(() => this.#send())
    return this.#drained
  }

  end(piece: Uint8Array): void {
    this.stop()
    this.#pieces.push(piece)
    const rest = this.#take()
    if (!this.#reply.headersSent) this.#reply.writeHead(200, { ...this.#headers, 'content-length': rest.length })
    this.#reply.end(rest)
  }

  /** Nothing more is said, and what waits to be is dropped. */
  stop(): void {
    clearTimeout(this.#first)
    clearImmediate(this.#flush)
  }

  #take(): Uint8Array {
    const [only, ...more] = this.#pieces
    this.#pieces = []
    return only !== undefined && more.length === 0 ? only : Buffer.concat([only ?? new Uint8Array(), ...more])
  }

  #send(): void {
    clearTimeout(this.#first)
    clearImmediate(this.#flush)
    this.#flush = undefined
    const reply = this.#reply
    if (!reply.headersSent) reply.writeHead(200, this.#headers)
    const hasRoom = reply.write(this.#take())
    if (!hasRoom) this.#full?.()
    if (hasRoom || this.#drained !== undefined || reply.destroyed) return
    this.#drained = new Promise((resolve) => {
      const go = () => {
        reply.off('drain', go).off('close', go)
        this.#drained = undefined
        resolve()
      }
      reply.once('drain', go).once('close', go)
    })
  }
}
