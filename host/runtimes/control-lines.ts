import { type ExactJson, Fault, MAX_RUNTIME_MESSAGE_BYTES } from '@caisson/wire'
import { EXACT, RuntimeMessage } from './runtime.ts'

const NEWLINE = 0x0a
/** Deeper JSON is an attack on code that walks through it recursively. Our own programs stop at 60. */
const MAX_DEPTH = 100
const NOTHING = Buffer.alloc(0)
const utf8 = new TextDecoder('utf-8', { fatal: true })

/** For all runtimes of a sandbox together: the guest may have hundreds, and each unfinished message is kept here. */
const MAX_BEGUN_BYTES = 2 * MAX_RUNTIME_MESSAGE_BYTES

/** For all sandboxes of an owner together. Beyond this, each sandbox may have at most the average share, so one that has less is never blamed. */
const MAX_OWNER_BYTES = 4 * MAX_BEGUN_BYTES

/** Unfinished messages in this process, by owner: in how many sandboxes, and how many bytes. */
const owners = new Map<string | undefined, { sandboxes: number; bytes: number }>()

/** Bytes of unfinished messages, over all runtimes of one sandbox. */
export class Begun {
  #owner: string | undefined
  #bytes = 0

  /** `owner` undefined: the operator, or not assigned yet. */
  constructor(owner?: string) {
    this.#owner = owner
  }

  get bytes(): number {
    return this.#bytes
  }

  belongTo(owner: string | undefined): void {
    const bytes = this.#bytes
    this.add(-bytes)
    this.#owner = owner
    this.add(bytes)
  }

  add(bytes: number): void {
    const { sandboxes, bytes: before } = owners.get(this.#owner) ?? { sandboxes: 0, bytes: 0 }
    const now = { sandboxes: sandboxes - Number(this.#bytes > 0) + Number(this.#bytes + bytes > 0), bytes: before + bytes }
    this.#bytes += bytes
    if (now.sandboxes === 0) owners.delete(this.#owner)
    else owners.set(this.#owner, now)
  }

  /** Throws WIRE_VIOLATION when there are too many bytes. */
  refuse(): void {
    if (this.#bytes > MAX_BEGUN_BYTES) throw violation(`messages that do not end, of more than ${MAX_BEGUN_BYTES} bytes`)
    const { sandboxes, bytes } = owners.get(this.#owner) ?? { sandboxes: 0, bytes: 0 }
    if (bytes > MAX_OWNER_BYTES && this.#bytes > MAX_OWNER_BYTES / sandboxes) {
      throw violation(
        `a part of messages that do not end, which in ${sandboxes} sandboxes of its owner have more than ${MAX_OWNER_BYTES} bytes`,
      )
    }
  }
}

/** Assembles the messages of a runtime from the pieces in which they arrive. They come from inside the wall. */
export class ControlLines {
  readonly #begun: Begun
  /** One growing buffer: a guest that sends single bytes must not cost an object for each. */
  #held = NOTHING
  #bytes = 0

  constructor(begun = new Begun()) {
    this.#begun = begun
  }

  #keep(piece: Uint8Array): void {
    const before = this.#bytes
    this.#bytes += piece.length
    this.#begun.add(piece.length)
    if (this.#bytes > MAX_RUNTIME_MESSAGE_BYTES) throw violation(`a message of more than ${MAX_RUNTIME_MESSAGE_BYTES} bytes`)
    this.#begun.refuse()
    if (this.#bytes > this.#held.length) {
      const wider = Buffer.allocUnsafe(Math.max(this.#bytes, 2 * this.#held.length))
      this.#held.copy(wider, 0, 0, before)
      this.#held = wider
    }
    this.#held.set(piece, before)
  }

  /** Drops an unfinished message. */
  end(): void {
    this.#begun.add(-this.#bytes)
    this.#bytes = 0
    this.#held = NOTHING
  }

  /** The messages that are now complete, with the length of their lines in bytes. Throws WIRE_VIOLATION. */
  *push(piece: Uint8Array): Generator<{ message: RuntimeMessage; bytes: number }> {
    let rest = piece
    for (let at = rest.indexOf(NEWLINE); at !== -1; at = rest.indexOf(NEWLINE)) {
      if (this.#bytes > 0) this.#keep(rest.subarray(0, at))
      const line = this.#bytes > 0 ? this.#held.subarray(0, this.#bytes) : rest.subarray(0, at)
      this.end()
      rest = rest.subarray(at + 1)
      yield { message: parse(line), bytes: line.length }
    }
    if (rest.length > 0) this.#keep(rest)
  }
}

function parse(line: Uint8Array): RuntimeMessage {
  const read = RuntimeMessage.safeParse(json('a message', () => utf8.decode(line)))
  if (!read.success) throw violation(`a message of no known shape (${read.error.issues[0]?.message ?? ''})`, read.error)
  const message = read.data
  if (message.type === 'result' && message.exact !== undefined) {
    for (const [form, text] of Object.entries(message.exact) as [keyof ExactJson, string][]) {
      const value = json(`a result's ${form}`, () => text)
      if (!EXACT[form].safeParse(value).success) throw violation(`a result's ${form} that is none`)
      Object.assign(message.result, { [form]: value })
    }
  }
  return message
}

function json(what: string, text: () => string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text())
  } catch (cause) {
    throw violation(`${what} that is not JSON`, cause)
  }
  if (deeper(value, MAX_DEPTH)) throw violation(`${what} of more than ${MAX_DEPTH} levels`)
  return value
}

function deeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (levels === 0) return true
  for (const item of Array.isArray(value) ? value : Object.values(value)) if (deeper(item, levels - 1)) return true
  return false
}

export function violation(what: string, cause?: unknown): Fault {
  return new Fault('WIRE_VIOLATION', `a runtime sent ${what}`, { cause })
}
