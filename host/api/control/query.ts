import { Fault } from '@caisson/wire'
import { z } from 'zod'
import { type OwnedCall, parsed } from '../call.ts'

/** Parses the query with `schema`. Throws BAD_REQUEST naming the parameter, also if it is unknown or repeated. */
export function readQuery<T>({ query }: Pick<OwnedCall, 'query'>, schema: z.ZodType<T>): T {
  const values: Record<string, string> = Object.create(null)
  for (const [name, value] of query) {
    if (name in values) throw new Fault('BAD_REQUEST', `${name}: given twice`)
    values[name] = value
  }
  return parsed(schema, { ...values })
}

/** For routes without parameters. Throws BAD_REQUEST naming any that was given. */
export function refuseQuery(call: Pick<OwnedCall, 'query'>): void {
  readQuery(call, z.strictObject({}))
}

export const WholeNumber = z
  .string()
  .regex(/^\d{1,15}$/, 'not a whole number')
  .transform(Number)

/** How many items one answer holds. */
export function pageLimit(most: number) {
  return WholeNumber.refine((limit) => limit >= 1 && limit <= most, `must be 1 to ${most}`).default(most)
}

/** An RFC 3339 time, in milliseconds since 1970. */
export const Instant = z
  .string()
  .regex(/^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/, 'not a time with its zone (RFC 3339)')
  .transform((text) => Date.parse(text))
  .refine((milliseconds) => Number.isFinite(milliseconds), 'no such time')
