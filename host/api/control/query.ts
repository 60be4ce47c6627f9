import { Fault } from '@caisson/wire'
import { z } from 'zod'
import { type OwnedCall, parsed } from '../call.ts'

/** The query as `schema` wants it. Throws BAD_REQUEST naming the parameter: also for one that is not known, or comes twice. */
export function readQuery<T>({ query }: Pick<OwnedCall, 'query'>, schema: z.ZodType<T>): T {
  const values: Record<string, string> = Object.create(null)
  for (const [name, value] of query) {
    if (name in values) throw new Fault('BAD_REQUEST', `${name}: given twice`)
    values[name] = value
  }
  return parsed(schema, { ...values })
}

/** For a route that takes no parameter. Throws BAD_REQUEST naming one that came all the same. */
export function refuseQuery(call: Pick<OwnedCall, 'query'>): void {
  readQuery(call, z.strictObject({}))
}

export const WholeNumber = z
  .string()
  .regex(/^\d{1,15}$/, 'not a whole number')
  .transform(Number)

/** How many of a list one answer holds. */
export function pageLimit(most: number) {
  return WholeNumber.refine((limit) => limit >= 1 && limit <= most, `must be 1 to ${most}`).default(most)
}

/** RFC 3339, in milliseconds since 1970. */
export const Instant = z
  .string()
  .regex(/^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/, 'not a time with its zone (RFC 3339)')
  .transform((text) => Date.parse(text))
  .refine((milliseconds) => Number.isFinite(milliseconds), 'no such time')
