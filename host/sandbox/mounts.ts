import { closeSync, constants, openSync, readlinkSync } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { Fault } from '@caisson/wire'
import type { StrictCreateRequest } from './request.ts'
import { inodeOf, type Look } from './shields.ts'

/** open(2), O_PATH: held, and not opened. Node has no name for it. */
const HELD = 0o10000000

/** The folders to be mounted, as they really are: links resolved, so that what is judged is what is mounted. */
export async function seen(request: StrictCreateRequest): Promise<StrictCreateRequest> {
  if (request.mounts === undefined) return request
  const mounts = await Promise.all(
    request.mounts.map(async (mount, index) => {
      try {
        const source = await realpath(mount.source)
        const found = await stat(source)
        if (found.isDirectory() || found.isFile()) return { ...mount, source }
      } catch (cause) {
        throw new Fault('MOUNT_UNREADABLE', `mounts.${index}.source: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
      }
      throw new Fault('MOUNT_UNREADABLE', `mounts.${index}.source: ${mount.source} is neither a folder nor a file`)
    }),
  )
  return { ...request, mounts }
}

/**
 * What a mount of `seen` is now, where nothing of it is hidden: whoever is inside another sandbox of a folder above may put a link in its place before it is
 * mounted, and the keeper compares. Throws MOUNT_UNREADABLE.
 */
export function heldLook(source: string): Look {
  try {
    const held = openSync(source, HELD | constants.O_NOFOLLOW)
    try {
      if (readlinkSync(`/proc/self/fd/${held}`) === source) return { inode: inodeOf(held), shields: [] }
    } finally {
      closeSync(held)
    }
  } catch (cause) {
    throw new Fault('MOUNT_UNREADABLE', `mounts: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  throw new Fault('MOUNT_UNREADABLE', `mounts: ${source} was moved while it was being looked at`, {
    hint: 'Try again when nobody else works in the folders above it.',
  })
}
