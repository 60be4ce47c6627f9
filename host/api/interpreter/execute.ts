import { type EndReason, type Execution, Fault, type RunError, type RunRequest } from '@caisson/wire'
import { z } from 'zod'
import type { ContextRecord } from '../../sandbox/record.ts'
import { Environment } from '../../sandbox/request.ts'
import { readJson, type Visit } from '../call.ts'
import { resetConnection } from '../reset.ts'
import { isSame } from '../tokens.ts'
import { contextFault } from './context-fault.ts'
import { EventLines } from './event-lines.ts'
import { HeldCode } from './held-code.ts'
import { unread } from './unread.ts'

/** Room for 8 Mi characters of code, all of them escaped. */
const MAX_BODY_BYTES = 56 * 1024 * 1024
/** A client that sends this reads lines that E2B does not define, and may use options that E2B lacks. */
const OURS = 'caisson-client'
const OURS_ONLY = ['program', 'timeout_ms'] as const

const LIMIT: { [reason in EndReason]?: string } = {
  memory: 'the memory limit of the sandbox was hit',
  pids: 'the limit of processes of the sandbox was hit',
  disk: 'the disk of the sandbox is full',
  output: 'it printed more than the sandbox may',
  timeout: 'its time was over',
}

const ExecuteRequest = z.strictObject({
  code: z.string(),
  context_id: z.string().nullish(),
  language: z.string().nullish(),
  env_vars: Environment.nullish(),
  program: z.strictObject({ path: z.string(), args: z.array(z.string()) }).nullish(),
  timeout_ms: z.int().nullish(),
})
type ExecuteRequest = z.infer<typeof ExecuteRequest>

/** Runs code and streams the events. A client that disconnects interrupts the run. Rejects only before the answer has begun. */
export async function execute(visit: Visit): Promise<void> {
  const { entered, reply } = visit
  refuseStranger(visit)
  const isOurs = visit.request.headers[OURS] === '1'
  using held = new HeldCode(visit)
  const body = await readJson(visit, ExecuteRequest, MAX_BODY_BYTES, held.add)
  const foreign = isOurs ? undefined : OURS_ONLY.find((field) => body[field] != null)
  if (foreign !== undefined) throw new Fault('BAD_REQUEST', `${foreign}: no such field`)
  if (body.context_id && body.language) throw new Fault('BAD_REQUEST', 'Only one of context_id or language can be provided')
  const lines = new EventLines(reply, isOurs, languageOf(body, entered.live.contextRecords()), unread(visit))
  try {
    const execution = await entered.live.runCode(requestOf(body), lines.tell, visit.signal)
    const error = execution.error ?? (isOurs ? undefined : failedExit(execution))
    if (error !== undefined) void lines.fail(explained(error, execution.limit))
    if (execution.limit !== undefined) lines.add({ type: 'limit', reason: execution.limit })
    if (execution.exitCode !== undefined) lines.add({ type: 'exit', exit_code: execution.exitCode })
    lines.end()
  } catch (failure) {
    if (!lines.hasBegun) throw contextFault(failure, body.context_id ?? undefined)
    await broken(failure, lines, visit)
  } finally {
    lines.stop()
  }
}

/** E2B's Bash reports an exit code as a nameless error. The code itself is sent only to our own clients. */
function failedExit({ exitCode = 0 }: Execution): RunError | undefined {
  return exitCode === 0 ? undefined : { name: '', value: String(exitCode), traceback: '' }
}

/** Adds the limit to the error, for clients that get no other report of it. */
function explained(error: RunError, limit: EndReason | undefined): RunError {
  return limit === undefined ? error : { ...error, value: `${error.value}${error.value === '' ? '' : ' '}(${LIMIT[limit] ?? limit})` }
}

function languageOf({ language, context_id }: ExecuteRequest, contexts: readonly ContextRecord[]): string | undefined {
  return language ? language.trim().toLowerCase() : contexts.find(({ id }) => id === context_id)?.language
}

function requestOf(body: ExecuteRequest): RunRequest {
  const { code, context_id, language, env_vars, program, timeout_ms } = body
  return {
    code,
    streamed: true,
    ...(context_id ? { contextId: context_id } : {}),
    ...(language ? { language: language.trim() } : {}),
    ...(env_vars == null ? {} : { env: env_vars }),
    ...(program == null ? {} : { program }),
    ...(timeout_ms == null ? {} : { timeoutMs: timeout_ms }),
  }
}

/** The answer has already begun. If the sandbox exists, the client is told why the run failed; otherwise its connection is broken. */
async function broken(failure: unknown, lines: EventLines, { request, signal }: Visit): Promise<void> {
  const isTold = failure instanceof Fault && failure.code !== 'SANDBOX_GONE' && !signal.aborted
  if (!isTold) {
    resetConnection(request.socket)
    return
  }
  if (!lines.refuse(failure)) await lines.fail({ name: 'UnexpectedEndOfExecution', value: failure.message, traceback: '' })
  lines.end()
}

/** Contexts need only the sandbox's id; running code needs its token. */
function refuseStranger({ request, entered }: Visit): void {
  const wanted = entered.record.accessToken
  if (wanted === null) return
  const given = request.headers['x-access-token']
  if (typeof given === 'string' && isSame(given, wanted)) return
  throw new Fault(
    'UNAUTHENTICATED',
    given === undefined ? 'the header X-Access-Token is missing' : 'X-Access-Token is not the token of this sandbox',
  )
}
