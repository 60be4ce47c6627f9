import { Fault, type FileEntry } from '@caisson/wire'
import type { Filesystem } from '@caisson/wire/envd/filesystem'
import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect'
import { checkedPath, mayLift } from './asked.ts'
import { entryInfo } from './entry-info.ts'
import { answering, type Rpc, streaming } from './serving.ts'
import { watchersOf } from './watchers.ts'
import { changesOf, watchFolder } from './watching.ts'

/** The catalogue's code, for our own clients. */
const EXISTS = { 'caisson-code': 'file_exists' }

export const filesystemService: ServiceImpl<typeof Filesystem> = {
  stat: answering(async ({ path, follow }, rpc) => {
    const entry = await filesOf(rpc).stat(checkedPath(path, 'path'), { user: rpc.user, follow }, rpc.signal)
    return { entry: entryInfo(entry, rpc.isOwn) }
  }),

  makeDir: answering(async ({ path }, rpc) => {
    const place = checkedPath(path, 'path')
    try {
      return { entry: entryInfo(await filesOf(rpc).makeDir(place, { user: rpc.user, lift: mayLift(rpc.visit) }, rpc.signal), rpc.isOwn) }
    } catch (failure) {
      if (!(failure instanceof Fault) || failure.code !== 'FILE_EXISTS') throw failure
      const { path: whole, kind } = await there(place, rpc)
      if (kind === 'directory') throw new ConnectError(`directory already exists: ${whole}`, Code.AlreadyExists, EXISTS)
      throw new ConnectError(`path already exists but it is not a directory: ${whole}`, Code.InvalidArgument, EXISTS)
    }
  }),

  move: answering(async ({ source, destination }, rpc) => {
    const [from, to] = [checkedPath(source, 'source'), checkedPath(destination, 'destination')]
    return { entry: entryInfo(await filesOf(rpc).move(from, to, { user: rpc.user }, rpc.signal), rpc.isOwn) }
  }),

  listDir: answering(async ({ path, depth }, rpc) => {
    const wish = { user: rpc.user, depth: depth === 0 ? 1 : depth }
    const entries = await filesOf(rpc).list(checkedPath(path, 'path'), wish, rpc.signal)
    rpc.asked.listing = { entries, isOwn: rpc.isOwn }
    return {}
  }),

  remove: answering(async ({ path }, rpc) => {
    if (path === '') throw new Fault('BAD_REQUEST', 'path: missing')
    await filesOf(rpc).remove(checkedPath(path, 'path'), { user: rpc.user }, rpc.signal)
    return {}
  }),

  watchDir: streaming(async function* (request, rpc) {
    const folder = await watchFolder(request, rpc, rpc.signal)
    yield { event: { case: 'start', value: {} } }
    for await (const change of changesOf(folder, rpc)) {
      if (change === 'silent') yield { event: { case: 'keepalive', value: {} } }
      else yield { event: { case: 'filesystem', value: change } }
    }
  }),

  createWatcher: answering(async (request, rpc) => ({ watcherId: await watchersOf(rpc).create(request, rpc) })),
  getWatcherEvents: answering(async ({ watcherId }, rpc) => ({ events: watchersOf(rpc).drain(watcherId) })),
  removeWatcher: answering(async ({ watcherId }, rpc) => {
    watchersOf(rpc).remove(watcherId)
    return {}
  }),
}

function filesOf(rpc: Rpc) {
  return rpc.visit.entered.live.files
}

/** What exists at the path where a folder was to be made. */
async function there(path: string, rpc: Rpc): Promise<Pick<FileEntry, 'path' | 'kind'>> {
  return await filesOf(rpc).stat(path, { user: rpc.user, follow: true }, rpc.signal)
}
