import { dirname } from 'node:path'
import { linesFromStart } from './follow.ts'
import { parsedLine } from './lines.ts'
import { segments } from './segments.ts'

/** Which records are wanted; what is not said does not matter. */
export interface AuditQuery {
  readonly sandbox?: string | undefined
  /** Of sandboxes that this owner made, or that acted. */
  readonly owner?: string | undefined
  readonly kind?: string | undefined
  /** Milliseconds since 1970; `until` is not among them any more. */
  readonly sinceMs?: number | undefined
  readonly untilMs?: number | undefined
  /** Part of a name or address that was asked for. */
  readonly host?: string | undefined
  /** Part of a command line or of code. */
  readonly command?: string | undefined
}

export type AuditEntry = Readonly<Record<string, unknown>>

/** Lines of the log that are wanted, several at a time, the oldest first; with `follow`, also what comes. */
export async function* chosenLines(path: string, query: AuditQuery, follow: boolean, signal: AbortSignal): AsyncGenerator<string[]> {
  const choice = new Choice(query)
  const isAll = Object.values(query).every((value) => value === undefined)
  for await (const lines of linesFromStart(path, { follow }, signal)) {
    const wanted = isAll ? lines : lines.filter((line) => choice.wants(line))
    if (wanted.length > 0) yield wanted
  }
}

export async function* chosenEntries(path: string, query: AuditQuery, signal: AbortSignal): AsyncGenerator<AuditEntry> {
  for await (const lines of chosenLines(path, query, false, signal)) {
    for (const line of lines) {
      const entry = parsedLine(line)
      if (entry !== undefined) yield entry
    }
  }
}

export function isThere(path: string): boolean {
  return segments(dirname(path)).length > 0
}

/** Remembers who made what, since later records name the sandbox alone. */
class Choice {
  readonly #query: AuditQuery
  readonly #owned = new Set<string>()

  constructor(query: AuditQuery) {
    this.#query = query
  }

  wants(line: string): boolean {
    const { sandbox, kind } = this.#query
    // Cheap first: most lines are about others.
    if (sandbox !== undefined && !line.includes(sandbox)) return false
    const entry = parsedLine(line)
    if (entry === undefined) return false
    if (!this.#isOwners(entry)) return false
    if (sandbox !== undefined && entry['sandbox'] !== sandbox) return false
    if (kind !== undefined && entry['kind'] !== kind) return false
    return this.#isInTime(entry) && this.#names(entry)
  }

  #isOwners(entry: AuditEntry): boolean {
    const { owner } = this.#query
    if (owner === undefined) return true
    const id = String(entry['sandbox'])
    if (entry['kind'] === 'act' && entry['by'] === owner) {
      if (id !== '') this.#owned.add(id)
      return true
    }
    return this.#owned.has(id)
  }

  #isInTime(entry: AuditEntry): boolean {
    const { sinceMs = Number.NEGATIVE_INFINITY, untilMs = Number.POSITIVE_INFINITY } = this.#query
    const atMs = Date.parse(String(entry['ts']))
    return atMs >= sinceMs && atMs < untilMs
  }

  #names({ name, address, command, args, argv, code }: AuditEntry): boolean {
    const { host, command: part } = this.#query
    if (host !== undefined && ![name, address].some((one) => typeof one === 'string' && one.includes(host))) return false
    if (part === undefined) return true
    const words = [command, args, argv, code].flat().filter((one) => typeof one === 'string')
    return words.join(' ').includes(part)
  }
}
