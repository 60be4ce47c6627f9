import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { Fault } from '@caisson/wire'
import { Busboy } from '@fastify/busboy'
import type { Incoming } from './upload.ts'

/** Parts per request. */
const MAX_PARTS = 10_000
/** Limit on parsed parts waiting to be written; beyond it, reading pauses. */
const MAX_WAITING = 64
const MAX_HEADERS = 32
const MAX_HEADER_BYTES = 16 * 1024
const WINDOW_BYTES = 256 * 1024
/** Name of the parts that are files; others are skipped. */
const FIELD = 'file'

type Parser = InstanceType<typeof Busboy>

interface Part {
  readonly name: string | undefined
  readonly content: Readable
}

/**
 * The files of a form, one at a time, in order; each must be read to its end before the next. `path` is the destination if the request names one; otherwise the
 * part's file name is the whole path. Rejects with BAD_REQUEST if the body is not a form.
 */
export async function* readParts(body: AsyncIterable<Buffer>, headers: IncomingHttpHeaders, path: string | null): AsyncGenerator<Incoming> {
  const form = new Form(headers)
  void form.feed(body)
  try {
    for (let part = await form.next(); part !== undefined; part = await form.next()) {
      yield { path: path ?? part.name ?? '', content: part.content }
    }
  } finally {
    form.stop()
  }
}

class Form {
  readonly #parser: Parser
  readonly #parts: Part[] = []
  #end: { failure: unknown } | undefined
  #current: Readable | undefined
  #isStopped = false
  #wake: (() => void)[] = []

  constructor(headers: IncomingHttpHeaders) {
    this.#parser = parserFor(headers)
    this.#parser.on('file', (field, content, name) => this.#found(field, content as Readable, name as string | undefined))
    this.#parser.on('partsLimit', () => this.#over(new Fault('BAD_REQUEST', `more than ${MAX_PARTS} parts in one request`)))
    this.#parser.on('finish', () => this.#over(undefined))
    this.#parser.on('error', (cause) => this.#over(malformed(cause)))
  }

  async feed(body: AsyncIterable<Buffer>): Promise<void> {
    try {
      for await (const chunk of body) {
        let isTaken = false
        this.#parser.write(chunk, () => {
          isTaken = true
          this.#changed()
        })
        // After the reader has stopped, no part is taken any more.
        while ((!isTaken || this.#parts.length >= MAX_WAITING) && !this.#isStopped) await this.#change()
        if (this.#isStopped) return
      }
      this.#parser.end()
    } catch (failure) {
      this.#over(failure)
    }
  }

  async next(): Promise<Part | undefined> {
    for (;;) {
      const part = this.#parts.shift()
      if (part !== undefined || this.#end !== undefined) {
        this.#changed()
        if (part === undefined && this.#end?.failure !== undefined) throw this.#end.failure
        return part
      }
      await this.#change()
    }
  }

  /** The reader has stopped. */
  stop(): void {
    this.#isStopped = true
    for (const { content } of this.#parts) content.resume()
    this.#changed()
  }

  #found(field: string, content: Readable, name: string | undefined): void {
    // The part's reader gets the error too.
    content.on('error', () => undefined)
    if (field !== FIELD || this.#isStopped) {
      content.resume()
      return
    }
    this.#parts.push({ name, content })
    this.#current = content
    this.#changed()
  }

  #over(failure: unknown): void {
    this.#end ??= { failure }
    // The part being read is incomplete.
    if (failure !== undefined) this.#current?.destroy(failure instanceof Error ? failure : new Error(String(failure)))
    this.#changed()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  #changed(): void {
    const waiting = this.#wake
    this.#wake = []
    for (const wake of waiting) wake()
  }
}

function parserFor(headers: IncomingHttpHeaders): Parser {
  const limits = { parts: MAX_PARTS, headerPairs: MAX_HEADERS, headerSize: MAX_HEADER_BYTES }
  try {
    return new Busboy({
      headers: { ...headers, 'content-type': headers['content-type'] ?? '' },
      preservePath: true,
      // A field without a file name is bytes too, and may be large.
      isPartAFile: () => true,
      fileHwm: WINDOW_BYTES,
      limits,
    })
  } catch (cause) {
    throw malformed(cause)
  }
}

function malformed(cause: unknown): Fault {
  return new Fault('BAD_REQUEST', `the body is no multipart form: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
}
