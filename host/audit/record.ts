import type { NetworkRecord } from '@caisson/wire'
import type { Checkpoint } from './checkpoint.ts'
import type { TerminalRecord } from './terminals/terminals.ts'

/**
 * What is recorded, one JSON object a line. The keeper appends `exec` (with `told: inside` where a machine says so of itself), `limit` and `death` to the same log, in the same shape; what writes the log
 * (native/audit) tells by itself of `torn` lines, of a `clock` that was set back, of a `broken` log, and of lines from before there was a chain (`unchained`).
 */
export type AuditRecord =
  /** `key`: whose log it is (signing-key.ts). */
  | { kind: 'begin' | 'segment'; sandbox: string; key: string }
  | Checkpoint
  /** `lastSeq` and `hash` of the last record that was removed. */
  | { kind: 'retention'; sandbox: string; removed: string; lastSeq: number; hash: string }
  /** `sha256` of the profile with all that it extends, and of the network policy with its presets spelled out: which of them it was, however they change. */
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
  /** Through the API, before it happens: what was read or changed; `to` of a move. */
  | { kind: 'file'; sandbox: string; act: string; path: string; to: string | null }
  /** What an owner did; `sandbox` is empty where it is about none. */
  | { kind: 'act'; sandbox: string; by: string; act: string; detail: Readonly<Record<string, string | number | boolean | null>> }
  | { kind: 'run'; sandbox: string; context: string; language: string; code: string; codeBytes: number }
  | { kind: 'scan'; sandbox: string; language: string; mode: string; refused: boolean; rules: string[]; findings: string[] }
  /** Of a sandbox whose keeper did not live to write it. */
  | { kind: 'death'; sandbox: string; reason: string; detail: string }
  | TerminalRecord
  | { kind: 'mother'; template: string; sandbox: string; outcome: 'started' | 'failed'; detail: string }
  | { kind: 'warm'; template: string; sandbox: string; outcome: 'saved' | 'failed' | 'discarded'; detail: string }
  | { kind: 'zygote'; template: string; sandbox: string; outcome: 'started' | 'failed'; detail: string }
  | NetworkRecord

/** Longest text of one field; what is longer is cut and says so. */
const MAX_FIELD_CHARACTERS = 4096
const MAX_LISTED = 256
/** What a terminal or a reader's eye would take for something else: C1 controls, line separators, invisible and direction-changing characters. */
const DECEPTIVE = /[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu

/** A JSON object of one line. JSON escapes C0 controls and quotes; the rest that could deceive is escaped here. */
export function auditFields(record: AuditRecord): string {
  const whole = JSON.stringify(record)
  return (isNeverCut(whole) ? whole : JSON.stringify(cut(record))).replace(DECEPTIVE, escaped)
}

/** So short a record has no text that is too long, and with so few commas no list; most are so. */
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

/** The first so many, and no half of a character at the end (a high surrogate): what has one in it cannot be written down, and what it is about would not happen. */
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
