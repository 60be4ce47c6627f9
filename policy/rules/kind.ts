import type { z } from 'zod'
import type { Endpoint } from '../endpoint.ts'

/** A kind of rule: its syntax, what it covers, and examples that are tested when a policy is loaded. */
interface Parts<Subject> {
  readonly name: string
  /** Whether a text is of this kind; the kinds do not overlap. */
  readonly claims: (host: string) => boolean
  /** Parses the text without its port. */
  readonly schema: z.ZodType<Subject, string>
  readonly text: (subject: Subject) => string
  readonly decide: (subject: Subject, endpoint: Endpoint) => boolean
  /** Representative endpoints: a rule that covers them covers everything that this one does. */
  readonly corners: (subject: Subject) => readonly Endpoint[]
  readonly examples: { readonly rule: string; readonly match: readonly string[]; readonly not: readonly string[] }
}

/** What a rule covers, apart from its port. */
export interface Scope {
  readonly text: string
  readonly corners: readonly Endpoint[]
  covers(endpoint: Endpoint): boolean
}

export interface Kind {
  readonly name: string
  readonly examples: Parts<unknown>['examples']
  claims(host: string): boolean
  read(host: string): Scope | { readonly refused: string }
}

export function kind<Subject>({ name, claims, schema, text, decide, corners, examples }: Parts<Subject>): Kind {
  return {
    name,
    claims,
    examples,
    read(host) {
      const read = schema.safeParse(host)
      if (!read.success) return { refused: read.error.issues[0]?.message ?? 'it is not valid' }
      const subject = read.data
      return { text: text(subject), corners: corners(subject), covers: (endpoint) => decide(subject, endpoint) }
    },
  }
}
