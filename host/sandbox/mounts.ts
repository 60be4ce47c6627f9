import { realpath, stat } from 'node:fs/promises'
import { Fault } from '@caisson/wire'
import type { StrictCreateRequest } from './request.ts'

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
