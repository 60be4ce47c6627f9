import { dirname, resolve } from 'node:path/posix'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import type { EntryKind, FileEntry } from '@caisson/wire'
import { type EntryInfoSchema, FileType } from '@caisson/wire/envd/filesystem'

type EntryInit = MessageInitShape<typeof EntryInfoSchema>

const TYPES: Readonly<Record<EntryKind, FileType>> = {
  file: FileType.FILE,
  directory: FileType.DIRECTORY,
  symlink: FileType.SYMLINK,
  other: FileType.UNSPECIFIED,
}

/** The mode letter of Go's FileMode string, which E2B's clients show. */
const LETTERS: Readonly<Record<EntryKind, string>> = { file: '', directory: 'd', symlink: 'L', other: '?' }

/** Extended attributes with this prefix are E2B's metadata. */
const METADATA = 'e2b.'

/** `isOwn`: for a Caisson client. */
export function entryInfo(entry: FileEntry, isOwn: boolean): EntryInit {
  const shown: EntryInit = {
    name: entry.name,
    type: TYPES[entry.kind],
    path: entry.path,
    size: BigInt(entry.size),
    mode: entry.mode & 0o777,
    permissions: permissionsOf(entry),
    owner: entry.owner,
    group: entry.group,
    modifiedTime: timestampFromMs(entry.modifiedMs),
    metadata: metadataOf(entry.attributes ?? {}),
  }
  if (isOwn) {
    const target = entry.symlinkTarget === undefined ? {} : { symlinkTarget: entry.symlinkTarget }
    return { ...shown, mode: entry.mode, attributes: entry.attributes ?? {}, ...target }
  }
  if (entry.kind !== 'symlink') return shown
  // E2B reports a symlink as its target. A dangling one is reported as a symlink to a path that does not exist.
  const nowhere = { path: resolve(dirname(entry.path), entry.symlinkTarget ?? ''), kind: entry.kind, mode: entry.mode }
  const { path, kind, mode } = entry.leadsTo ?? nowhere
  return { ...shown, type: TYPES[kind], mode: mode & 0o777, symlinkTarget: path }
}

export function metadataOf(attributes: Readonly<Record<string, string>>): Record<string, string> {
  const found = Object.entries(attributes).filter(([name]) => name.startsWith(METADATA) && name.length > METADATA.length)
  return Object.fromEntries(found.map(([name, value]) => [name.slice(METADATA.length), value]))
}

export function attributesOf(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`${METADATA}${name}`, value]))
}

function permissionsOf({ kind, mode }: FileEntry): string {
  const special = `${mode & 0o4000 ? 'u' : ''}${mode & 0o2000 ? 'g' : ''}${mode & 0o1000 ? 't' : ''}`
  const prefix = `${LETTERS[kind]}${special}`
  const bits = [...'rwxrwxrwx'].map((letter, index) => (mode & (0o400 >> index) ? letter : '-'))
  return `${prefix === '' ? '-' : prefix}${bits.join('')}`
}
