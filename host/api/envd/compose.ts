import { Fault } from '@caisson/wire'
import { z } from 'zod'
import type { Visit } from '../call.ts'
import { readJson, sendJson } from '../call.ts'
import { checkedPath, checkedUser, sayUser, wholePath } from './asked.ts'

const MAX_SOURCES = 10_000
const MAX_BODY_BYTES = 4 * 1024 * 1024
const ComposeRequest = z.strictObject({
  source_paths: z.array(z.string().min(1)).min(1, 'must not be empty').max(MAX_SOURCES),
  destination: z.string().min(1),
  username: z.string().optional(),
})

/** POST /files/compose: concatenates files into one and removes them. */
export async function compose(visit: Visit): Promise<void> {
  const { source_paths: sources, destination, username = '' } = await readJson(visit, ComposeRequest, MAX_BODY_BYTES)
  const user = checkedUser(username)
  const { files } = visit.entered.live
  const place = (path: string, field: string) => wholePath(checkedPath(path, field), user, visit)
  const target = place(destination, 'destination')
  try {
    for (const source of sources) {
      if (place(source, 'source_paths') === target) throw new Fault('BAD_REQUEST', `source_paths: '${source}' is the destination too`)
      const { kind } = await files.stat(source, { user, follow: true }, visit.signal)
      if (kind !== 'file') throw new Fault('FILE_KIND', `source_paths: '${source}' is not a regular file`)
    }
    const entry = await files.write(destination, contents(sources, user, visit), { user, own: true }, visit.signal)
    for (const source of sources) await files.remove(source, { user }, visit.signal)
    sendJson(visit.reply, 200, { path: entry.path, name: entry.name, type: 'file' })
  } catch (failure) {
    throw sayUser(failure, user)
  }
}

async function* contents(sources: readonly string[], user: string, visit: Visit): AsyncGenerator<Uint8Array> {
  for (const source of sources) yield* visit.entered.live.files.read(source, { user }, visit.signal)
}
