import { join } from 'node:path'
import { namesIn } from '../folder.ts'

/** Name of the folder inside the log's folder. */
export const TERMINALS = 'terminals'
const CAST = /^(t[0-9a-f]{20})\.(\d{1,15})\.cast$/
/** An unfinished recording: the session, the recording process and the sandbox. */
const PART = /^(t[0-9a-f]{20})\.(\d{1,10})\.([a-z0-9]{1,64})\.part$/

/** A recording. */
export interface Kept {
  readonly terminal: string
  readonly path: string
  /** Number of the record that holds its hash; null: unfinished. */
  readonly endSeq: number | null
  /** The recording process of an unfinished one. */
  readonly pid: number | null
  readonly sandbox: string | null
}

/** Empty if the folder does not exist. */
export function castsIn(folder: string): Kept[] {
  return namesIn(folder).flatMap((name): Kept[] => {
    const path = join(folder, name)
    const [, ended, seq] = CAST.exec(name) ?? []
    if (ended !== undefined) return [{ terminal: ended, path, endSeq: Number(seq), pid: null, sandbox: null }]
    const [, begun, pid, sandbox = ''] = PART.exec(name) ?? []
    return begun === undefined ? [] : [{ terminal: begun, path, endSeq: null, pid: Number(pid), sandbox }]
  })
}
