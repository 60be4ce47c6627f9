import { basename } from 'node:path'
import type { EntryKind, FileChange, FileEntry } from '@caisson/wire'
import { type Entry, Entry_Kind } from '@caisson/wire/agent'

const KINDS: Readonly<Record<number, EntryKind>> = {
  [Entry_Kind.FILE]: 'file',
  [Entry_Kind.DIRECTORY]: 'directory',
  [Entry_Kind.SYMLINK]: 'symlink',
}

export function fileEntry(entry: Entry): FileEntry {
  const shown: FileEntry = {
    path: entry.path,
    name: basename(entry.path),
    kind: KINDS[entry.kind] ?? 'other',
    size: bounded(entry.size),
    mode: entry.mode & 0o7777,
    owner: entry.owner,
    group: entry.group,
    modifiedMs: Math.floor(bounded(entry.modifiedUs) / 1000),
  }
  if (shown.kind === 'symlink') {
    shown.symlinkTarget = entry.symlinkTarget
    const kind = KINDS[entry.leadsToKind] ?? 'other'
    if (entry.leadsTo !== '') shown.leadsTo = { path: entry.leadsTo, kind, mode: entry.leadsToMode & 0o7777 }
  }
  if (Object.keys(entry.attributes).length > 0) shown.attributes = { ...entry.attributes }
  return shown
}

/** Approximate size besides its texts. */
const ENTRY_BYTES = 256

/** Memory that a stored entry takes. The guest chooses the length of its texts. */
export function bytesOfEntry({ path, owner, group, symlinkTarget = '', leadsTo, attributes = {} }: FileEntry): number {
  const texts = [path, owner, group, symlinkTarget, leadsTo?.path ?? '', ...Object.entries(attributes).flat()]
  return ENTRY_BYTES + texts.reduce((sum, text) => sum + text.length, 0)
}

/** The same for a change. Text may take two bytes per character. */
export function bytesOfChange({ name, entry }: FileChange): number {
  return ENTRY_BYTES + 2 * name.length + (entry === undefined ? 0 : 2 * bytesOfEntry(entry))
}

/** A 64-bit number from the agent, limited to JavaScript's safe range. */
export function bounded(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value)
}
