import { Fault } from '@caisson/wire'
import { z } from 'zod'
import { type Fact, SCANNED } from './fact.ts'

const Example = z.strictObject({ language: z.enum(SCANNED), code: z.string().max(4096) })

const Kind = z.enum(['import', 'call', 'command', 'member', 'text', 'write', 'variable', 'shape'])
const Pattern = z.string().min(1).max(2000)

/** A scan rule as data. Patterns are JavaScript regular expressions; they run on short facts. */
export const ScanRule = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]{3,48}$/),
  /** `hostile`: no well-meaning code does this. `banned`: a profile may forbid it (`code-interpreter`). */
  set: z.enum(['hostile', 'banned']),
  kind: Kind,
  language: z.enum(SCANNED).optional(),
  pattern: Pattern,
  /** For a call: a pattern for its arguments, joined by spaces. */
  args: Pattern.optional(),
  /** Further facts required anywhere in the same code. Fetching is harmless and so is running assembled code; together they are not. */
  also: z
    .array(z.strictObject({ kind: Kind, pattern: Pattern, args: Pattern.optional() }))
    .min(1)
    .max(4)
    .optional(),
  reason: z.string().min(3).max(200),
  hint: z.string().min(3).max(200),
  examples: z.strictObject({ match: z.array(Example).min(1), not: z.array(Example).min(1) }),
})
export type ScanRule = z.infer<typeof ScanRule>

export interface ScanFinding {
  readonly rule: string
  readonly set: ScanRule['set']
  readonly line: number
  readonly column: number
  /** The text found there, truncated to 120 characters. */
  readonly what: string
  readonly reason: string
  readonly hint: string
}

const MAX_SHOWN = 120
/** Further findings add nothing. */
const MAX_FINDINGS = 200

/** Compiled rules. */
export class ScanRules {
  readonly #rules: readonly (ScanRule & { test: Test; tests: readonly Test[] })[]

  /** Throws POLICY_INVALID naming the rule and the member. */
  constructor(rules: readonly unknown[]) {
    this.#rules = rules.map((raw, index) => {
      const read = ScanRule.safeParse(raw)
      if (!read.success) {
        const [issue] = read.error.issues
        throw new Fault('POLICY_INVALID', `scan.rules.${index}.${issue?.path.join('.')}: ${issue?.message}`, { cause: read.error })
      }
      const { data } = read
      return { ...data, test: testOf(data.name, data), tests: (data.also ?? []).map((one) => testOf(data.name, one)) }
    })
  }

  get all(): readonly ScanRule[] {
    return this.#rules
  }

  /** Findings in the order of the code; each rule at most once per line. */
  judge(facts: readonly Fact[], sets: readonly ScanRule['set'][]): ScanFinding[] {
    const findings = new Map<string, ScanFinding>()
    const rules = this.#rules.filter(({ set, tests }) => sets.includes(set) && tests.every((test) => facts.some(test)))
    for (const fact of facts) {
      for (const rule of rules) {
        if (findings.size >= MAX_FINDINGS || (rule.language !== undefined && rule.language !== fact.language) || !rule.test(fact)) continue
        const { name, set, reason, hint } = rule
        const { line, column } = fact
        const what = `${fact.value}${fact.args.length > 0 ? `(${fact.args.join(', ')})` : ''}`.slice(0, MAX_SHOWN)
        const key = `${name} ${line}`
        if (!findings.has(key)) findings.set(key, { rule: name, set, line, column, what, reason, hint })
      }
    }
    return [...findings.values()].sort((one, other) => one.line - other.line || one.column - other.column)
  }
}

type Test = (fact: Fact) => boolean

function testOf(rule: string, { kind, pattern, args }: Pick<ScanRule, 'kind' | 'pattern' | 'args'>): Test {
  const value = expression(rule, 'pattern', pattern)
  const given = args === undefined ? null : expression(rule, 'args', args)
  // A text assembled or decoded for a call appears only in the call's arguments.
  if (kind === 'text') return (fact) => (fact.kind === 'text' && value.test(fact.value)) || fact.args.some((arg) => value.test(arg))
  return (fact) => fact.kind === kind && value.test(fact.value) && (given === null || given.test(fact.args.join(' ')))
}

function expression(rule: string, member: 'pattern' | 'args', source: string): RegExp {
  try {
    return new RegExp(source, 'is')
  } catch (cause) {
    throw new Fault('POLICY_INVALID', `scan rule ${rule}: ${member}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}
