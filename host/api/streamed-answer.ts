import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'

/**
 * A streamed response. Pieces from one turn of the event loop are sent in one write, and a response that ends before anything was sent goes out whole, with its
 * length: each write wakes the client, which costs more than most of its content. Until the first write, a different answer is still possible.
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

  /** The start of the answer waits `firstMs` for what follows it. `full` is called when the client is sent more than it takes. */
  constructor(reply: ServerResponse, headers: OutgoingHttpHeaders, firstMs: number, full?: () => void) {
    this.#reply = reply
    this.#headers = headers
    this.#firstMs = firstMs
    this.#full = full
  }

  /** The returned promise is pending while the client reads too slowly. */
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

  /** Sends nothing more, and drops what is waiting. */
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
