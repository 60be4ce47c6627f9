import { setImmediate as breath } from 'node:timers/promises'
import { create, toBinary, toJsonString } from '@bufbuild/protobuf'
import type { FileEntry } from '@caisson/wire'
import { ListDirResponseSchema } from '@caisson/wire/envd/filesystem'
import { entryInfo } from './entry-info.ts'

/** Entries per batch: a folder may have a hundred thousand, and other requests must not wait for all of them. */
const AT_ONCE = 256
const [BEFORE, AFTER] = ['{"entries":[', ']}']

/** The content of a listing response. */
export interface Listing {
  readonly entries: readonly FileEntry[]
  /** For a Caisson client. */
  readonly isOwn: boolean
}

/** One ListDirResponse in pieces, in either of Connect's two encodings. */
export async function* listed({ entries, isOwn }: Listing, isJson: boolean): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < entries.length; at += AT_ONCE) {
    const part = entries.slice(at, at + AT_ONCE).map((entry) => entryInfo(entry, isOwn))
    const message = create(ListDirResponseSchema, { entries: part })
    if (isJson)
      yield Buffer.from(`${at === 0 ? BEFORE : ','}${toJsonString(ListDirResponseSchema, message).slice(BEFORE.length, -AFTER.length)}`)
    // In protobuf's wire format, repeated occurrences of a repeated field are concatenated.
    else yield toBinary(ListDirResponseSchema, message)
    await breath()
  }
  if (isJson) yield Buffer.from(entries.length === 0 ? '{}' : AFTER)
}
