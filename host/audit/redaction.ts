import { type AuditRecord, firstOf } from './record.ts'

/** Names and values. Only variables whose names say that they are secrets count. */
export type Variables = Readonly<Record<string, string>>

/** Texts of a record that may contain a secret. */
export interface Asked {
  readonly words: readonly string[]
  readonly texts: readonly string[]
}

/** Longer texts are truncated in the record anyway; this leaves room for removals. */
const MAX_CHARACTERS = 16_384
const MAX_WORDS = 512

/** The record with its secrets removed by `take`: from command lines, code, names chosen by the caller, request paths and rules. */
export function redacted(record: AuditRecord, take: (asked: Asked) => Asked): AuditRecord {
  switch (record.kind) {
    case 'command': {
      const { words } = take({ words: [record.command, ...record.args].slice(0, MAX_WORDS).map(cut), texts: [] })
      const [command = '', ...args] = words
      return { ...record, command, args: [...args, ...record.args.slice(args.length).map(() => '')] }
    }
    case 'run':
      return { ...record, code: one(record.code, take) }
    case 'scan':
      return { ...record, findings: [...take({ words: [], texts: record.findings.map(cut) }).texts] }
    case 'network-request':
      return { ...record, path: one(record.path, take) }
    case 'create':
      return { ...record, metadata: values(record.metadata, take) }
    case 'act':
      return { ...record, detail: values(record.detail, take) }
    default:
      return record
  }
}

function one(text: string, take: (asked: Asked) => Asked): string {
  return take({ words: [], texts: [cut(text)] }).texts[0] ?? ''
}

function values<T>(all: Readonly<Record<string, T>>, take: (asked: Asked) => Asked): Record<string, T> {
  const named = Object.entries(all).filter((entry): entry is [string, T & string] => typeof entry[1] === 'string')
  if (named.length === 0) return { ...all }
  const { texts } = take({ words: [], texts: named.map(([, text]) => cut(text)) })
  return { ...all, ...Object.fromEntries(named.map(([name], index) => [name, texts[index]])) } as Record<string, T>
}

function cut(text: string): string {
  return text.length <= MAX_CHARACTERS ? text : firstOf(text, MAX_CHARACTERS)
}
