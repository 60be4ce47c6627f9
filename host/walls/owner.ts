import { readFileSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

/** Lies in a state folder from before anything else is made: whose it is, so that what a crash leaves can be told from what is being made. */
const Owner = z.strictObject({ id: z.string(), pid: z.int(), started: z.string() })
export type Owner = z.infer<typeof Owner>

const FILE = 'owner.json'
/** Of proc_pid_stat(5), counted after the parenthesis that ends the program's name: starttime. */
const START_FIELD = 19

/** Synchronous, as it is on the way to every sandbox and takes less time than a turn of the thread pool. */
export function writeOwner(dir: string, id: string): void {
  const owner: Owner = { id, pid: process.pid, started: startOf(process.pid) ?? '' }
  writeFileSync(join(dir, FILE), JSON.stringify(owner), { flag: 'wx', mode: 0o600 })
}

/** Undefined when the folder says nothing that could be understood. */
export async function readOwner(dir: string): Promise<Owner | undefined> {
  const text = await readFile(join(dir, FILE), 'utf8').catch(() => '')
  try {
    return Owner.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

/** Numbers of processes are used again; a number and a start time together are not. */
export function isAlive(owner: Owner): boolean {
  return startOf(owner.pid) === owner.started
}

function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[START_FIELD]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
