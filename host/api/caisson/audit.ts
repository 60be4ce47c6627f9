import { z } from 'zod'
import { chosenLines } from '../../audit/query.ts'
import { readQuery } from '../control/query.ts'
import { sendText } from './lines.ts'
import { forOperators } from './operator.ts'

const Part = z.string().min(1).max(256).optional()
const Moment = z.iso.datetime({ offset: true }).transform(Date.parse).optional()
const Query = z.strictObject({
  sandbox: z
    .string()
    .regex(/^[a-z0-9]{1,32}$/, 'not an id of a sandbox')
    .optional(),
  owner: Part,
  kind: Part,
  host: Part,
  command: Part,
  since: Moment,
  until: Moment,
  follow: z
    .enum(['true', 'false', '1', '0'])
    .default('false')
    .transform((text) => text === 'true' || text === '1'),
})

/** The log unchanged, one JSON object per line, filtered by sandbox, owner, time, host or command, or all of it. */
export const showAudit = forOperators({
  method: 'GET',
  path: '/caisson/v1/audit',
  async handle(call) {
    const { follow, since: sinceMs, until: untilMs, ...rest } = readQuery(call, Query)
    const lines = chosenLines(call.rooms.control.auditLog, { ...rest, sinceMs, untilMs }, follow, call.signal)
    await sendText(call, 'application/x-ndjson', joined(lines))
  },
})

async function* joined(batches: AsyncIterable<string[]>): AsyncGenerator<string> {
  for await (const lines of batches) yield `${lines.join('\n')}\n`
}
