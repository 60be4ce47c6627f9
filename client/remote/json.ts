import { Fault } from '@caisson/wire'
import type { Answer } from './link.ts'

export type Json = Readonly<Record<string, unknown>>

/** Largest answer of a daemon that is read whole; longer ones are read as streams. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

export async function wholeText(answer: Answer, what: string): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of answer.body) {
    bytes += piece.length
    if (bytes > MAX_ANSWER_BYTES) throw nonsense(what, `more than ${MAX_ANSWER_BYTES} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}

export async function wholeJson(answer: Answer, what: string): Promise<unknown> {
  return parseJson(await wholeText(answer, what), what)
}

export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw nonsense(what, 'not JSON', cause)
  }
}

export function asRecord(value: unknown, what: string): Json {
  if (isRecord(value)) return value
  throw nonsense(what, 'not an object')
}

export function asList(value: unknown, what: string): Json[] {
  if (Array.isArray(value) && value.every(isRecord)) return value
  throw nonsense(what, 'not a list of objects')
}

export function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function text(record: Json, name: string): string | undefined {
  const value = record[name]
  return typeof value === 'string' ? value : undefined
}

/** Also accepts a string: protobuf's JSON writes 64-bit integers that way. */
export function number(record: Json, name: string): number | undefined {
  const value = record[name]
  const found = typeof value === 'string' && value !== '' ? Number(value) : value
  return typeof found === 'number' && Number.isFinite(found) ? found : undefined
}

/** A time given as text, in milliseconds since 1970. */
export function time(record: Json, name: string): number | undefined {
  const ms = Date.parse(text(record, name) ?? '')
  return Number.isNaN(ms) ? undefined : ms
}

export function texts(value: unknown): Record<string, string> {
  if (!isRecord(value)) return {}
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}

export function needed<T>(value: T | undefined, what: string, name: string): T {
  if (value === undefined) throw nonsense(what, `without ${name}`)
  return value
}

/** The peer is not a Caisson daemon, or one of another version. */
function nonsense(what: string, why: string, cause?: unknown): Fault {
  return new Fault('INTERNAL', `the daemon's answer is ${why} (${what})`, {
    hint: 'Check that CAISSON_URL is the address of a Caisson daemon of this version.',
    cause,
  })
}
