import { dirname } from 'node:path'
import { linesFromStart } from './follow.ts'
import { parsedLine } from './lines.ts'
import { segments } from './segments.ts'

/** A filter for records; absent fields match everything. */
export interface AuditQuery {
  readonly sandbox?: string | undefined
  /** Records of sandboxes that this owner created, and of the owner's own actions. */
  readonly owner?: string | undefined
  readonly kind?: string | undefined
  /** Milliseconds since 1970; `until` is exclusive. */
  readonly sinceMs?: number | undefined
  readonly untilMs?: number | undefined
  /** Part of a requested name or address. */
  readonly host?: string | undefined
  /** Part of a command line or of code. */
  readonly command?: string | undefined
}

export type AuditEntry = Readonly<Record<string, unknown>>

/** Matching lines of the log in batches, oldest first; with `follow`, also new ones. */
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

/** Remembers each sandbox's owner, since later records name only the sandbox. */
class Choice {
  readonly #query: AuditQuery
  readonly #owned = new Set<string>()

  constructor(query: AuditQuery) {
    this.#query = query
  }

  wants(line: string): boolean {
    const { sandbox, kind } = this.#query
    // The cheap test first: most lines concern other sandboxes.
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
