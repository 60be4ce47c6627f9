import { setImmediate as breath } from 'node:timers/promises'
import { create, toBinary, toJsonString } from '@bufbuild/protobuf'
import type { FileEntry } from '@caisson/wire'
import { ListDirResponseSchema } from '@caisson/wire/envd/filesystem'
import { entryInfo } from './entry-info.ts'

/** So many at once: a folder may have a hundred thousand, and meanwhile everybody else waits. */
const AT_ONCE = 256
const [BEFORE, AFTER] = ['{"entries":[', ']}']

/** What a listing is answered with, once it is whole. */
export interface Listing {
  readonly entries: readonly FileEntry[]
  /** For a client of Caisson's own. */
  readonly isOwn: boolean
}

/** One ListDirResponse in pieces, as one of the two forms that Connect has for it. */
export async function* listed({ entries, isOwn }: Listing, isJson: boolean): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < entries.length; at += AT_ONCE) {
    const part = entries.slice(at, at + AT_ONCE).map((entry) => entryInfo(entry, isOwn))
    const message = create(ListDirResponseSchema, { entries: part })
    if (isJson)
      yield Buffer.from(`${at === 0 ? BEFORE : ','}${toJsonString(ListDirResponseSchema, message).slice(BEFORE.length, -AFTER.length)}`)
    // A repeated field goes on wherever it comes again (protobuf's wire format).
    else yield toBinary(ListDirResponseSchema, message)
    await breath()
  }
  if (isJson) yield Buffer.from(entries.length === 0 ? '{}' : AFTER)
}
