import { z } from 'zod'
import { readJson, sendJson, type Visit } from '../call.ts'
import { contextFault } from './context-fault.ts'

const DEFAULT_LANGUAGE = 'python'

const ContextRequest = z.strictObject({ language: z.string().nullish(), cwd: z.string().nullish() })

/** `POST /contexts` */
export async function createContext(visit: Visit): Promise<void> {
  const { language, cwd } = await readJson(visit, ContextRequest)
  const wanted = { language: language?.trim() || DEFAULT_LANGUAGE, ...(cwd ? { cwd } : {}) }
  sendJson(visit.reply, 200, await named(visit.entered.live.createContext(wanted, visit.signal)))
}

/** `GET /contexts`: oldest first. */
export async function listContexts(visit: Visit): Promise<void> {
  sendJson(visit.reply, 200, await visit.entered.live.contexts(visit.signal))
}

/** `POST /contexts/:id/restart` */
export async function restartContext(visit: Visit, id: string): Promise<void> {
  await named(visit.entered.live.restartContext(id, visit.signal), id)
  sendJson(visit.reply, 200, null)
}

/** `POST /contexts/:id/interrupt`: like Ctrl-C. E2B's wire has no word for it. */
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
