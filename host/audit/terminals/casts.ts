import { join } from 'node:path'
import { namesIn } from '../folder.ts'

/** Below the folder of a log. */
export const TERMINALS = 'terminals'
const CAST = /^(t[0-9a-f]{20})\.(\d{1,15})\.cast$/
/** Of a session that is not over: who records it, and of which sandbox. */
const PART = /^(t[0-9a-f]{20})\.(\d{1,10})\.([a-z0-9]{1,64})\.part$/

/** A recording. */
export interface Kept {
  readonly terminal: string
  readonly path: string
  /** Number of the record that has its hash; null: it is not over. */
  readonly endSeq: number | null
  /** Of one that is not over. */
  readonly pid: number | null
  readonly sandbox: string | null
}

/** None if there is no such folder. */
export function castsIn(folder: string): Kept[] {
  return namesIn(folder).flatMap((name): Kept[] => {
    const path = join(folder, name)
    const [, ended, seq] = CAST.exec(name) ?? []
    if (ended !== undefined) return [{ terminal: ended, path, endSeq: Number(seq), pid: null, sandbox: null }]
    const [, begun, pid, sandbox = ''] = PART.exec(name) ?? []
    return begun === undefined ? [] : [{ terminal: begun, path, endSeq: null, pid: Number(pid), sandbox }]
  })
}
