import type { MessageInitShape } from '@bufbuild/protobuf'
import type { FileChange } from '@caisson/wire'
import { EventType, type FilesystemEventSchema, type WatchDirRequest } from '@caisson/wire/envd/filesystem'
import { Code, ConnectError } from '@connectrpc/connect'
import { checkedPath } from './asked.ts'
import { entryInfo } from './entry-info.ts'
import type { Rpc } from './serving.ts'

export type ChangeInit = MessageInitShape<typeof FilesystemEventSchema>
type WatchRequest = Pick<WatchDirRequest, 'path' | 'recursive' | 'includeEntry' | 'allowNetworkMounts'>

const TYPES: Readonly<Record<FileChange['kind'], EventType>> = {
  create: EventType.CREATE,
  write: EventType.WRITE,
  remove: EventType.REMOVE,
  rename: EventType.RENAME,
  chmod: EventType.CHMOD,
  overflow: EventType.UNSPECIFIED,
}

/** Resolves once no later change can be missed. */
export async function watchFolder(request: WatchRequest, rpc: Rpc, signal: AbortSignal): Promise<AsyncIterator<FileChange>> {
  const { recursive, includeEntry, allowNetworkMounts } = request
  const path = checkedPath(request.path, 'path')
  const wish = { user: rpc.user, recursive, includeEntry, localOnly: !allowNetworkMounts }
  const watching = rpc.visit.entered.live.files.watch(path, wish, signal)
  await watching.armed
  return watching[Symbol.asyncIterator]()
}

/** Changes as they arrive; `silent` after an interval without any. Ends with the folder. */
export async function* changesOf(folder: AsyncIterator<FileChange>, rpc: Rpc): AsyncGenerator<ChangeInit | 'silent'> {
  try {
    for (let next = folder.next(); ; ) {
      const change = await orSilent(next, rpc.keepaliveMs)
      if (change === 'silent') {
        yield change
        continue
      }
      if (change.done === true) return
      yield changeEvent(change.value, rpc.isOwn)
      next = folder.next()
    }
  } finally {
    await folder.return?.()
  }
}

/** Throws DATA_LOSS for clients that have no other way to learn of lost changes. */
export function changeEvent(change: FileChange, isOwn: boolean): ChangeInit {
  if (change.kind === 'overflow' && !isOwn) throw changesLost()
  const entry = change.entry === undefined ? {} : { entry: entryInfo(change.entry, isOwn) }
  // E2B calls the watched folder itself ".".
  return { name: change.name === '' && !isOwn ? '.' : change.name, type: TYPES[change.kind], ...entry }
}

export function changesLost(): ConnectError {
  return new ConnectError('there were more changes than could be kept: some are lost', Code.DataLoss)
}

function orSilent<T>(work: Promise<T>, silenceMs: number): Promise<T | 'silent'> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve('silent'), silenceMs)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
