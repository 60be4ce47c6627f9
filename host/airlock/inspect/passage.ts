import type { Field, Question } from './exchange.ts'

/** Why something is stopped, in the terms of a verdict. */
export interface Ground {
  /** `dlp private-key`, `reflected secret`. */
  readonly rule: string
  /** A sentence without its full stop, and without the data that was found. */
  readonly reason: string
}

export type Passed = Buffer | Ground

/** Examines one run of bytes from start to end. Its output is sent on; a ground ends the connection. */
export interface Watch {
  /** May hold back a bounded number of bytes until more is known. */
  chunk(bytes: Buffer): Passed | Promise<Passed>
  /** Returns what is still held back. */
  end(): Passed | Promise<Passed>
  /** Called when the run is over, for whatever reason. */
  close?(): void
  /** Whether the length stays the same. False: no Content-Length is sent. */
  readonly keepsLength: boolean
}

/** A run of bytes: a body, or one WebSocket message, control frames included. */
export interface Run {
  readonly what: 'body' | 'message'
  readonly way: 'out' | 'in'
  /** The fields of the head that it belongs to. */
  readonly fields: readonly Field[]
}

/**
 * The single point through which all content of an inspected connection passes: method, URL and fields of a request before a server is dialled, the fields of a
 * response, bodies and trailers in both directions, and WebSocket messages in both directions.
 */
export interface Passage {
  /** An allowed request. Null: unchanged; otherwise the modified request. */
  request(question: Question): Question | Ground | null | Promise<Question | Ground | null>
  /** Fields of a response, or trailers of either side. */
  fields(fields: readonly Field[], way: 'out' | 'in'): readonly Field[] | Ground | Promise<readonly Field[] | Ground>
  /** Null: not examined. */
  watch(run: Run): Watch | null
}

export function isGround(passed: Passed | Question | readonly Field[] | Ground | null): passed is Ground {
  return passed !== null && 'rule' in passed
}

/** Something was found after the head had been sent. */
export class Withheld extends Error {
  readonly ground: Ground

  constructor(ground: Ground) {
    super(ground.reason)
    this.ground = ground
  }
}

/** Applies them in sequence: each sees what the one before lets through. */
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
