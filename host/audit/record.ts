import type { NetworkRecord } from '@caisson/wire'
import type { Checkpoint } from './checkpoint.ts'
import type { TerminalRecord } from './terminals/terminals.ts'

/**
 * The audit records, one JSON object per line. The keeper appends `exec` (with `told: inside` where a virtual machine reports it itself), `limit` and `death`
 * to the same log, in the same shape. The writer (native/audit) itself adds `torn` lines, a `clock` that was set back, a `broken` log, and lines from before
 * there was a chain (`unchained`).
 */
export type AuditRecord =
  /** `key`: the log's owner (signing-key.ts). */
  | { kind: 'begin' | 'segment'; sandbox: string; key: string }
  | Checkpoint
  /** `lastSeq` and `hash`: those of the last removed record. */
  | { kind: 'retention'; sandbox: string; removed: string; lastSeq: number; hash: string }
  /** `sha256`: of the profile with all that it extends, and of the network policy with presets expanded. They identify the versions used. */
  | {
      kind: 'create'
      sandbox: string
      profile: string
      template: string
      wall: string
      sha256: { profile: string; policy: string | null }
      metadata: Record<string, string>
      plan: unknown
    }
  | { kind: 'command'; sandbox: string; command: string; args: string[]; user: string; cwd: string }
  /** File access through the API, recorded before it happens; `to`: the destination of a move. */
  | { kind: 'file'; sandbox: string; act: string; path: string; to: string | null }
  /** An action of an owner; `sandbox` is empty if it concerns none. */
  | { kind: 'act'; sandbox: string; by: string; act: string; detail: Readonly<Record<string, string | number | boolean | null>> }
  | { kind: 'run'; sandbox: string; context: string; language: string; code: string; codeBytes: number }
  | { kind: 'scan'; sandbox: string; language: string; mode: string; refused: boolean; rules: string[]; findings: string[] }
  /** The death of a sandbox whose keeper died before it could record it. */
  | { kind: 'death'; sandbox: string; reason: string; detail: string }
  | TerminalRecord
  | { kind: 'mother'; template: string; sandbox: string; outcome: 'started' | 'failed'; detail: string }
  | { kind: 'warm'; template: string; sandbox: string; outcome: 'saved' | 'failed' | 'discarded'; detail: string }
  | { kind: 'zygote'; template: string; sandbox: string; outcome: 'started' | 'failed'; detail: string }
  | NetworkRecord

/** Longest text of a field; longer ones are truncated and marked. */
const MAX_FIELD_CHARACTERS = 4096
const MAX_LISTED = 256
/** Characters that mislead a terminal or a reader: C1 controls, line separators, invisible and direction-changing characters. */
const DECEPTIVE = /[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu

/** A one-line JSON object. JSON escapes C0 controls and quotes; this escapes the other deceptive characters. */
export function auditFields(record: AuditRecord): string {
  const whole = JSON.stringify(record)
  return (isNeverCut(whole) ? whole : JSON.stringify(cut(record))).replace(DECEPTIVE, escaped)
}

/** A record this short has no overlong text and, with so few commas, no overlong list. Most records are. */
function isNeverCut(whole: string): boolean {
  if (whole.length > MAX_FIELD_CHARACTERS) return false
  let commas = 0
  for (let at = whole.indexOf(','); at !== -1 && commas < MAX_LISTED; at = whole.indexOf(',', at + 1)) commas += 1
  return commas < MAX_LISTED
}

function escaped(character: string): string {
  let text = ''
  for (let index = 0; index < character.length; index += 1) text += `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`
  return text
}

/** The first `most` characters, without half a surrogate pair at the end: a record with one cannot be written, and then its action could not happen. */
export function firstOf(text: string, most: number): string {
  return text.slice(0, /[\ud800-\udbff]/.test(text[most - 1] ?? '') ? most - 1 : most)
}

function cut(value: unknown): unknown {
  if (typeof value === 'string') {
    return value.length <= MAX_FIELD_CHARACTERS ? value : `${firstOf(value, MAX_FIELD_CHARACTERS)}... (${value.length} characters)`
  }
  if (Array.isArray(value)) {
    const kept = value.slice(0, MAX_LISTED).map(cut)
    return value.length <= MAX_LISTED ? kept : [...kept, `... (${value.length} in all)`]
  }
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, cut(member)]))
}
