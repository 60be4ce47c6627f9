import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { Fault } from '@caisson/wire'
import { Harmless } from './harmless.ts'
import { printed } from './printing.ts'

export interface Playing {
  /** Playback speed factor. */
  readonly speed: number
  /** The longest pause; undefined: pauses keep their length. */
  readonly idleSeconds: number | undefined
  /** Unfiltered, as in the file. */
  readonly raw: boolean
}

/** Resets colours, the cursor and the screen. */
const AS_BEFORE = '\x1b[0m\x1b[?25h\x1b[?1049l\n'

/** Plays a recording on this terminal at its original pace; without a terminal, at once. Sequences that would make a terminal act are left out. */
export async function replay(path: string, playing: Playing): Promise<void> {
  if (playing.raw) return await printed(lines(path, (line) => `${line}\n`))
  const isTerminal = process.stdout.isTTY
  await printed(played(path, isTerminal ? playing : { ...playing, speed: Number.POSITIVE_INFINITY }))
  if (isTerminal) process.stdout.write(AS_BEFORE)
}

async function* played(path: string, { speed, idleSeconds }: Playing): AsyncGenerator<string> {
  const screen = new Harmless()
  let was = 0
  for await (const text of lines(path, (line) => line)) {
    const event = eventOf(text)
    if (event === undefined) continue
    const seconds = Math.min(Math.max(0, event.seconds - was), idleSeconds ?? Number.POSITIVE_INFINITY) / speed
    was = event.seconds
    if (seconds > 0) await pause(seconds * 1000)
    if (event.kind === 'o') yield screen.write(event.text)
    if (event.kind === 'm') yield `\r\n[${screen.write(event.text)}]\r\n`
  }
}

/** Undefined for the first line, which is the header. */
function eventOf(text: string): { seconds: number; kind: string; text: string } | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new Fault('AUDIT_BROKEN', `the recording has a line that is no JSON: ${text.slice(0, 80)}`, { cause })
  }
  if (!Array.isArray(value)) return undefined
  const [seconds, kind, said] = value as unknown[]
  if (typeof seconds !== 'number' || typeof kind !== 'string' || typeof said !== 'string') {
    throw new Fault('AUDIT_BROKEN', `the recording has a line that is no event: ${text.slice(0, 80)}`)
  }
  return { seconds, kind, text: said }
}

async function* lines(path: string, show: (line: string) => string): AsyncGenerator<string> {
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) yield show(line)
}
