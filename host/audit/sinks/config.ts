import { readFileSync } from 'node:fs'
import { Fault } from '@caisson/wire'
import { z } from 'zod'
import * as shelf from './shelf.ts'
import type { Sink, SinkHouse, SinkKind } from './sink.ts'

const MAX_SINKS = 16
const MAX_BYTES = 256 * 1024
const LAG = { records: 100_000, seconds: 300 }

const Named = z.looseObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'is to be a short name of small letters, digits and -'),
  kind: z.string(),
  required: z.boolean().default(false),
  lag: z
    .strictObject({
      records: z.number().int().min(1).default(LAG.records),
      seconds: z.number().int().min(1).default(LAG.seconds),
    })
    .default(LAG),
})

/** A sink as the operator configured it. */
export interface SetUp {
  readonly name: string
  readonly kind: string
  /** If true, no sandbox is created while the sink is behind by more than `lag`. */
  readonly required: boolean
  readonly lag: { readonly records: number; readonly seconds: number }
  open(house: SinkHouse): Sink
}

/** Reads the configuration; empty if there is no file. Throws SINK_INVALID, naming the place. */
export function readSinks(path: string): SetUp[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw invalid(path, (cause as Error).message, cause)
  }
  if (text.length > MAX_BYTES) throw invalid(path, `it is longer than ${MAX_BYTES} bytes`)
  let said: unknown
  try {
    said = JSON.parse(text)
  } catch (cause) {
    throw invalid(path, `it is no JSON: ${(cause as Error).message}`, cause)
  }
  const { sinks } = checked(z.strictObject({ sinks: z.array(z.unknown()).max(MAX_SINKS) }), said, path, '')
  const all = sinks.map((one, index) => setUp(one, path, `sinks.${index}`))
  for (const [index, { name }] of all.entries()) {
    if (all.findIndex((other) => other.name === name) < index)
      throw invalid(path, `sinks.${index}.name: there are two that are called ${name}`)
  }
  return all
}

function setUp(said: unknown, path: string, place: string): SetUp {
  const { name, kind, required, lag, ...options } = checked(Named, said, path, place)
  if (!Object.hasOwn(shelf, kind)) {
    throw invalid(path, `${place}.kind: ${JSON.stringify(kind)} is no kind of sink; there are: ${Object.keys(shelf).join(', ')}`)
  }
  const sort = (shelf as Readonly<Record<string, SinkKind<unknown>>>)[kind] as SinkKind<unknown>
  const own = checked(sort.options, options, path, place)
  return { name, kind, required, lag, open: (house) => sort.open(own, house) }
}

function checked<T>(schema: z.ZodType<T>, said: unknown, path: string, place: string): T {
  const read = schema.safeParse(said)
  if (read.success) return read.data
  const [issue] = read.error.issues
  const where = [place, ...(issue?.path ?? [])].filter((part) => part !== '').join('.')
  throw invalid(path, `${where === '' ? '' : `${where}: `}${issue?.message ?? 'it is not valid'}`)
}

function invalid(path: string, why: string, cause?: unknown): Fault {
  return new Fault('SINK_INVALID', `${path}: ${why}`, { cause })
}
