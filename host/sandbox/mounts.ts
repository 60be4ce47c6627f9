import { closeSync, constants, openSync, readlinkSync } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { Fault } from '@caisson/wire'
import type { StrictCreateRequest } from './request.ts'
import { inodeOf, type Look } from './shields.ts'

/** O_PATH of open(2), which Node has no name for: a handle on the file without opening it. */
const HELD = 0o10000000

/** Resolves links in the mounts, so that what is checked is what is mounted. */
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
 * Identity of a mount from `seen` in which nothing is hidden. A guest that has a parent folder mounted could replace it by a link before it is mounted, so the
 * keeper compares. Throws MOUNT_UNREADABLE.
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
