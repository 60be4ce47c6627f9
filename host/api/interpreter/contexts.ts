import { Fault, type FaultCode } from '@caisson/wire'
import { z } from 'zod'
import { readJson, sendJson, type Visit } from '../call.ts'
import { wholePath } from '../envd/asked.ts'
import { isCaissonClient } from '../envd/failures.ts'
import { contextFault } from './context-fault.ts'

const DEFAULT_LANGUAGE = 'python'

const ContextRequest = z.strictObject({ language: z.string().nullish(), cwd: z.string().nullish() })

/**
 * `POST /contexts`. If the requested folder does not exist, E2B's kernels run in the home but report that folder. Here it is created if the user may do so,
 * which makes the report true. Our own clients get an error instead, as they do without a daemon.
 */
export async function createContext(visit: Visit): Promise<void> {
  const { language, cwd } = await readJson(visit, ContextRequest)
  const { live } = visit.entered
  const wanted = { language: language?.trim() || DEFAULT_LANGUAGE }
  if (!cwd || isCaissonClient(visit)) {
    sendJson(visit.reply, 200, await named(live.createContext({ ...wanted, ...(cwd ? { cwd } : {}) }, visit.signal)))
    return
  }
  const folder = wholePath(cwd, '', visit)
  const make = () => live.createContext({ ...wanted, cwd: folder }, visit.signal)
  const made = make().catch(async (failure: unknown) => {
    if (!is('FILE_MISSING', failure)) throw failure
    await live.files.makeDir(folder, {}, visit.signal).catch((refused: unknown) => {
      // Another request has created it meanwhile.
      if (!is('FILE_EXISTS', refused)) throw refused
    })
    return make()
  })
  sendJson(visit.reply, 200, await named(made))
}

const is = (code: FaultCode, failure: unknown) => failure instanceof Fault && failure.code === code

/** `GET /contexts`: oldest first. */
export async function listContexts(visit: Visit): Promise<void> {
  sendJson(visit.reply, 200, await visit.entered.live.contexts(visit.signal))
}

/** `POST /contexts/:id/restart` */
export async function restartContext(visit: Visit, id: string): Promise<void> {
  await named(visit.entered.live.restartContext(id, visit.signal), id)
  sendJson(visit.reply, 200, null)
}

/** `POST /contexts/:id/interrupt`: like Ctrl-C. E2B's API has no equivalent. */
export async function interruptContext(visit: Visit, id: string): Promise<void> {
  await named(visit.entered.live.interrupt(id, visit.signal), id)
  sendJson(visit.reply, 200, null)
}

/** `DELETE /contexts/:id` */
export async function deleteContext(visit: Visit, id: string): Promise<void> {
  await named(visit.entered.live.deleteContext(id, visit.signal), id)
  sendJson(visit.reply, 200, null)
}

async function named<T>(work: Promise<T>, id?: string): Promise<T> {
  try {
    return await work
  } catch (failure) {
    throw contextFault(failure, id)
  }
}
