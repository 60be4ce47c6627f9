import type { EntryKind, FileChange, FileEntry } from '@caisson/wire'
import { asRecord, isRecord, needed, number, text, texts, time } from './json.ts'

const KINDS: Readonly<Record<string, EntryKind>> = {
  FILE_TYPE_FILE: 'file',
  FILE_TYPE_DIRECTORY: 'directory',
  FILE_TYPE_SYMLINK: 'symlink',
}

const CHANGES: Readonly<Record<string, FileChange['kind']>> = {
  EVENT_TYPE_CREATE: 'create',
  EVENT_TYPE_WRITE: 'write',
  EVENT_TYPE_REMOVE: 'remove',
  EVENT_TYPE_RENAME: 'rename',
  EVENT_TYPE_CHMOD: 'chmod',
}

/** E2B's metadata are stored as attributes with this prefix. */
const METADATA = 'e2b.'

/** A file entry from E2B's wire format. */
export function entryOf(value: unknown, what: string): FileEntry {
  const entry = asRecord(value, what)
  const path = needed(text(entry, 'path'), what, 'a path')
  const symlinkTarget = text(entry, 'symlinkTarget')
  const attributes = isRecord(entry['attributes'])
    ? texts(entry['attributes'])
    : Object.fromEntries(Object.entries(texts(entry['metadata'])).map(([name, text]) => [`${METADATA}${name}`, text]))
  return {
    path,
    name: text(entry, 'name') ?? path.slice(path.lastIndexOf('/') + 1),
    // For a symlink, E2B's wire gives the kind of its target.
    kind: symlinkTarget === undefined ? (KINDS[text(entry, 'type') ?? ''] ?? 'other') : 'symlink',
    size: number(entry, 'size') ?? 0,
    mode: number(entry, 'mode') ?? 0,
    owner: text(entry, 'owner') ?? '',
    group: text(entry, 'group') ?? '',
    modifiedMs: time(entry, 'modifiedTime') ?? 0,
    ...(symlinkTarget === undefined ? {} : { symlinkTarget }),
    ...(Object.keys(attributes).length === 0 ? {} : { attributes }),
  }
}

/** A change in a watched folder. An unknown kind means that other changes were lost. */
export function changeOf(event: Readonly<Record<string, unknown>>): FileChange {
  const kind = CHANGES[text(event, 'type') ?? ''] ?? 'overflow'
  const entry = isRecord(event['entry']) ? { entry: entryOf(event['entry'], 'watch') } : {}
  return { kind, name: text(event, 'name') ?? '', ...entry }
}
