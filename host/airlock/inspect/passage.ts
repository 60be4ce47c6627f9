import type { Field, Question } from './exchange.ts'

/** Why something does not pass, in the words of a verdict. */
export interface Ground {
  /** `dlp private-key`, `reflected secret`. */
  readonly rule: string
  /** A sentence without its dot, and without what was found. */
  readonly reason: string
}

export type Passed = Buffer | Ground

/** Looks at one run of bytes, from its first to its last. What it gives instead goes on; a ground ends the connection. */
export interface Watch {
  /** May hold bytes back, a bounded number of them, until more is known. */
  chunk(bytes: Buffer): Passed | Promise<Passed>
  /** What is still held back. */
  end(): Passed | Promise<Passed>
  /** It is over, in whatever way. */
  close?(): void
  /** Whether as many bytes leave as came. False: no length is said beforehand. */
  readonly keepsLength: boolean
}

/** Which run of bytes: a body, or one message of a web socket, control frames included. */
export interface Run {
  readonly what: 'body' | 'message'
  readonly way: 'out' | 'in'
  /** Of the head that it belongs to. */
  readonly fields: readonly Field[]
}

/**
 * The one place through which all passes that an inspected connection carries: method, URL and fields of a request before a server is dialled, the
 * fields of an answer, bodies and trailers both ways, messages of web sockets both ways.
 */
export interface Passage {
  /** A request that was allowed. Null: it passes; else it goes on changed. */
  request(question: Question): Question | Ground | null | Promise<Question | Ground | null>
  /** Fields of an answer, or trailers of either. */
  fields(fields: readonly Field[], way: 'out' | 'in'): readonly Field[] | Ground | Promise<readonly Field[] | Ground>
  /** Null: nobody looks. */
  watch(run: Run): Watch | null
}

export function isGround(passed: Passed | Question | readonly Field[] | Ground | null): passed is Ground {
  return passed !== null && 'rule' in passed
}

/** What was found in the middle of something: its head has gone. */
export class Withheld extends Error {
  readonly ground: Ground

  constructor(ground: Ground) {
    super(ground.reason)
    this.ground = ground
  }
}

/** One after the other: the last one sees what the first one lets through. */
export function joined(passages: readonly Passage[]): Passage {
  return {
    async request(question) {
      let now = question
      for (const passage of passages) {
        const passed = await passage.request(now)
        if (isGround(passed)) return passed
        now = passed ?? now
      }
      return now
    },
    async fields(fields, way) {
      let now = fields
      for (const passage of passages) {
        const passed = await passage.fields(now, way)
        if (isGround(passed)) return passed
        now = passed
      }
      return now
    },
    watch(run) {
      const watches = passages.map((passage) => passage.watch(run)).filter((watch) => watch !== null)
      return watches.length === 0 ? null : inARow(watches)
    },
  }
}

function inARow(watches: readonly Watch[]): Watch {
  const pass = async (bytes: Buffer, from: number): Promise<Passed> => {
    let now: Passed = bytes
    for (const watch of watches.slice(from)) {
      if (isGround(now) || now.length === 0) return now
      now = await watch.chunk(now)
    }
    return now
  }
  return {
    keepsLength: watches.every(({ keepsLength }) => keepsLength),
    chunk: (bytes) => pass(bytes, 0),
    async end() {
      const parts: Buffer[] = []
      for (const [index, watch] of watches.entries()) {
        const held = await watch.end()
        const passed = isGround(held) ? held : await pass(held, index + 1)
        if (isGround(passed)) return passed
        parts.push(passed)
      }
      return Buffer.concat(parts)
    },
    close() {
      for (const watch of watches) watch.close?.()
    },
  }
}
