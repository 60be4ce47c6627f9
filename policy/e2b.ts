import { Fault } from '@caisson/wire'
import { z } from 'zod'
import { rangeText, readRange } from './addresses.ts'
import { compile, type NetworkPolicy } from './network.ts'

const MAX_RULES = 1000
const ALL_TRAFFIC = '0.0.0.0/0'

const Texts = z.array(z.string().max(255)).max(MAX_RULES)

/** The fields of E2B's create and PUT /network that say what a sandbox may send out. */
export const E2bNetwork = z.strictObject({
  allow_internet_access: z.boolean().optional(),
  allowOut: Texts.optional(),
  denyOut: Texts.optional(),
})

/**
 * E2B's meaning: all is open but what is denied; what is allowed wins over what is denied. `field`: what the lists are called under (`network.`).
 * Throws BAD_REQUEST.
 */
export function policyOfE2b(network: z.infer<typeof E2bNetwork>, field: string): NetworkPolicy {
  const denied = (network.denyOut ?? []).map((text, index) => readDenied(text, `${field}denyOut.${index}`))
  const allowed = (network.allowOut ?? []).map((text, index) => readAllowed(text, `${field}allowOut.${index}`))
  const name = allowed.find(({ isName }) => isName)
  if (name !== undefined && !denied.includes(ALL_TRAFFIC)) {
    throw new Fault('BAD_REQUEST', `${field}allowOut: ${name.rule} is a domain, and domains are only let through when all else is denied`, {
      hint: `Add ${ALL_TRAFFIC} to ${field}denyOut.`,
    })
  }
  if (network.allow_internet_access === false) denied.unshift(ALL_TRAFFIC)
  const allow = distinct(allowed.map(({ rule }) => rule))
  const deny = distinct(denied)
  const isClosed = deny.includes(ALL_TRAFFIC) && !allow.includes(ALL_TRAFFIC)
  // Who denies 0.0.0.0/0 means version 6 too: E2B's sandboxes have none. Who allows it means names as well.
  if (isClosed && allow.length === 0) return compile({ mode: 'none' }, field)
  return compile(
    {
      mode: isClosed ? 'allow' : 'open',
      first: 'allow',
      allow: allow.map(entryOf),
      deny: deny.map(entryOf),
      inspect: false,
      credentials: [],
    },
    field,
  )
}

function readDenied(text: string, place: string): string {
  const range = readRange(text)
  if (range === null) throw new Fault('BAD_REQUEST', `${place}: ${text} is not an IP address or a CIDR range`)
  return rangeText(range)
}

function readAllowed(text: string, place: string): { rule: string; isName: boolean } {
  const range = readRange(text)
  if (range !== null) return { rule: rangeText(range), isName: false }
  // The same rules as a policy's, without a port.
  if (/[/:]/.test(text)) throw new Fault('BAD_REQUEST', `${place}: ${text} is not a domain, an IP address or a CIDR range`)
  try {
    const [rule] = compile(
      { mode: 'allow', first: 'allow', allow: [entryOf(text)], deny: [], inspect: false, credentials: [] },
      place,
    ).allow
    return { rule: rule?.text ?? text, isName: true }
  } catch (cause) {
    if (cause instanceof Fault) throw new Fault('BAD_REQUEST', cause.message.replace(`${place}.allow.0`, place), { cause })
    throw cause
  }
}

function entryOf(rule: string) {
  return { rule, match: [], not: [] }
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)]
}
