import { basename } from 'node:path'
import type { EntryKind, FileEntry } from '@caisson/wire'
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

/** A 64-bit number of the agent's, as one that JavaScript can count with. */
export function bounded(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value)
}
