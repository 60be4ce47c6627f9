import type { AuditEntry } from '../../embedded.ts'
import { oneLine } from '../ending.ts'

/** Fields that every record has, and fields too long for one line. */
const ELSEWHERE = ['seq', 'prev', 'ts', 'sandbox', 'kind', 'plan', 'signature', 'hash', 'key', 'covers']
const MAX_CHARACTERS = 240

/** Formats a record as one line for a person: number, time, sandbox, kind, and its fields. */
export function entryLine(entry: AuditEntry): string {
  const fields = Object.entries(entry).filter(([name]) => !ELSEWHERE.includes(name))
  const said = fields.map(([name, value]) => `${name}=${typeof value === 'string' ? quoted(value) : JSON.stringify(value)}`).join(' ')
  const { seq, ts, sandbox, kind } = entry
  const text = oneLine([String(seq ?? '-').padStart(6), ts, sandbox === '' ? '-' : sandbox, kind, said].map(String).join('  '))
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}...` : text
}

function quoted(text: string): string {
  return /^[\w./:@%+,-]+$/.test(text) ? text : JSON.stringify(text)
}
