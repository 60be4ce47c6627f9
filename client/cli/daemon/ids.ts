import { Fault } from '@caisson/wire'
import { exitCodeOf, faultLine, inTheCatalogue } from '../ending.ts'

/** Checks the form of an id. A malformed one would lead to another route. */
export function checkedId(id: string): string {
  if (/^[a-z0-9]{1,64}$/.test(id)) return id
  throw new Fault('BAD_REQUEST', `${JSON.stringify(id)} is not an id of a sandbox`, { hint: '`caisson ps` lists them.' })
}

/** Does `work` for each id; prints each id that succeeded and one line for each failure. */
export async function ofEach(ids: readonly string[], work: (id: string, signal: AbortSignal) => Promise<unknown>): Promise<number> {
  let exitCode = 0
  for (const id of ids.map(checkedId)) {
    try {
      await work(id, new AbortController().signal)
      process.stdout.write(`${id}\n`)
    } catch (error) {
      const fault = inTheCatalogue(error)
      process.stderr.write(`${faultLine(fault)}\n`)
      exitCode = exitCodeOf(fault)
    }
  }
  return exitCode
}
