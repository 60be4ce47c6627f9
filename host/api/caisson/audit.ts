import { z } from 'zod'
import { linesFromStart } from '../../audit/follow.ts'
import { readQuery } from '../control/query.ts'
import { sendText } from './lines.ts'
import { forOperators } from './operator.ts'

const Query = z.strictObject({
  sandbox: z
    .string()
    .regex(/^[a-z0-9]{1,32}$/, 'not an id of a sandbox')
    .optional(),
  follow: z
    .enum(['true', 'false', '1', '0'])
    .default('false')
    .transform((text) => text === 'true' || text === '1'),
})

/** The log as it is, one JSON object a line; of one sandbox, or of all. */
export const showAudit = forOperators({
  method: 'GET',
  path: '/caisson/v1/audit',
  async handle(call) {
    const { sandbox, follow } = readQuery(call, Query)
    const isWanted = sandbox === undefined ? () => true : (line: string) => line.includes(`"sandbox":"${sandbox}"`)
    await sendText(call, 'application/x-ndjson', chosen(linesFromStart(call.rooms.control.auditLog, follow, call.signal), isWanted))
  },
})

async function* chosen(batches: AsyncIterable<string[]>, isWanted: (line: string) => boolean): AsyncGenerator<string> {
  for await (const lines of batches) {
    const wanted = lines.filter(isWanted)
    if (wanted.length > 0) yield `${wanted.join('\n')}\n`
  }
}
