import { Fault, type StartRequest } from '@caisson/wire'
import type { Process, ProcessInput, ProcessSelector as SelectorMessage, StreamInputRequest } from '@caisson/wire/envd/process'
import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect'
import { Onlookers } from '../../lifetimes.ts'
import type { ProcessEnd, ProcessSelector, RunningProcess } from '../../sandbox/processes.ts'
import { connectFailure } from './failures.ts'
import { eventsOf } from './process-events.ts'
import { answering, type Rpc, streaming } from './serving.ts'

/** Reasons why a command does not start. E2B's clients see them as a bad request. */
const NOT_STARTED: ReadonlySet<string> = new Set(['FILE_MISSING', 'FILE_DENIED', 'FILE_KIND'])

export const processService = {
  start: streaming(async function* ({ process: config, pty, tag, stdin }, rpc) {
    if (config === undefined) throw new Fault('BAD_REQUEST', 'process: missing')
    const request: StartRequest = {
      command: config.cmd,
      args: config.args,
      env: config.envs,
      user: rpc.user,
      stdin: pty === undefined && stdin !== false,
      ...(config.cwd === undefined || config.cwd === '' ? {} : { cwd: config.cwd }),
      ...(pty === undefined ? {} : { pty: sizeOf(pty) }),
      ...(tag === undefined ? {} : { tag }),
      ...timeoutOf(rpc),
    }
    const started = await begin(request, rpc)
    yield* eventsOf(started.process, started.reader, rpc)
  }),

  connect: streaming(async function* ({ process }, rpc) {
    const found = await rpc.visit.entered.live.processes.findOrEnded(selectorOf(process))
    yield* eventsOf(found, found.listen(), rpc)
  }),

  list: answering(async (_, rpc) => ({
    processes: (await rpc.visit.entered.live.processes.list()).map(({ pid, facts }) => ({
      pid,
      config: {
        cmd: facts.command,
        args: [...facts.args],
        envs: { ...facts.env },
        ...(facts.cwd === undefined ? {} : { cwd: facts.cwd }),
      },
      ...(facts.tag === undefined ? {} : { tag: facts.tag }),
    })),
  })),

  update: answering(async ({ process, pty }, rpc) => {
    const found = await running(process, rpc)
    if (pty !== undefined) await found.resize(sizeOf(pty), rpc.signal)
    return {}
  }),

  sendInput: answering(async ({ process, input }, rpc) => {
    await give(await running(process, rpc), input, rpc)
    return {}
  }),

  streamInput: answering(async (requests: AsyncIterable<StreamInputRequest>, rpc) => {
    let target: RunningProcess | undefined
    // If the process ends just then, an onlooker left behind would keep all that comes until then.
    let end: Onlookers<ProcessEnd> | undefined
    const coming = requests[Symbol.asyncIterator]()
    for (;;) {
      const next = await (end === undefined ? coming.next() : end.orEnd(coming.next()))
      // Nobody will read further output.
      if (!('done' in next)) throw new Fault('NOT_FOUND', `process with pid ${target?.pid} not found`)
      if (next.done === true) return {}
      const { event } = next.value
      if (event.case === 'start') {
        target = await running(event.value.process, rpc)
        end = new Onlookers(target.ended)
      } else if (event.case === 'data' && target === undefined) throw new Fault('BAD_REQUEST', 'the first message must name the process')
      else if (event.case === 'data' && target !== undefined) await give(target, event.value.input, rpc)
      else if (event.case === undefined) throw new Fault('BAD_REQUEST', 'event: neither start, data nor keepalive')
    }
  }),

  sendSignal: answering(async ({ process, signal }, rpc) => {
    await (await running(process, rpc)).signal(signal, rpc.signal)
    return {}
  }),

  closeStdin: answering(async ({ process }, rpc) => {
    const found = await running(process, rpc)
    if (found.facts.pty)
      throw new ConnectError('cannot close the stdin of a process with a tty: send it 0x04 (Ctrl-D) instead', Code.Unknown)
    await found.closeStdin(rpc.signal)
    return {}
  }),
} satisfies ServiceImpl<typeof Process>

/** The client's deadline applies to the command: it is killed then, whether or not the client still listens. */
function timeoutOf({ visit }: Rpc): { timeoutMs?: number } {
  const asked = Number(visit.request.headers['connect-timeout-ms'] ?? 0)
  return asked > 0 ? { timeoutMs: asked } : {}
}

async function begin(request: StartRequest, rpc: Rpc) {
  const { live, record } = rpc.visit.entered
  const hidden = { E2B_SANDBOX: 'true', E2B_SANDBOX_ID: record.id, E2B_TEMPLATE_ID: record.templateId }
  try {
    return await live.processes.start(request, hidden, rpc.signal)
  } catch (failure) {
    if (!(failure instanceof Fault) || !NOT_STARTED.has(failure.code)) throw failure
    const missing = request.cwd !== undefined && !(await isThere(request.cwd, rpc))
    throw missing
      ? new ConnectError(`cwd '${request.cwd}' does not exist`, Code.InvalidArgument)
      : connectFailure(failure, Code.InvalidArgument)
  }
}

async function isThere(path: string, { visit, user, signal }: Rpc): Promise<boolean> {
  try {
    await visit.entered.live.files.stat(path, { user, follow: true }, signal)
    return true
  } catch (failure) {
    if (failure instanceof Fault && failure.code === 'FILE_MISSING') return false
    throw failure
  }
}

function selectorOf(process: SelectorMessage | undefined): ProcessSelector {
  const selector = process?.selector
  if (selector?.case === 'pid') return { pid: selector.value }
  if (selector?.case === 'tag') return { tag: selector.value }
  throw new Fault('BAD_REQUEST', 'process: neither pid nor tag')
}

function running(process: SelectorMessage | undefined, rpc: Rpc): Promise<RunningProcess> {
  return rpc.visit.entered.live.processes.find(selectorOf(process))
}

async function give(process: RunningProcess, input: ProcessInput | undefined, { signal }: Rpc): Promise<void> {
  const given = input?.input
  if (given === undefined || given.case === undefined) throw new ConnectError('input: neither stdin nor pty', Code.Unimplemented)
  try {
    await process.write(given.case, given.value, signal)
  } catch (failure) {
    // The cause is the process's state; E2B reports that as internal.
    throw failure instanceof Fault && failure.code === 'BAD_REQUEST' ? connectFailure(failure, Code.Internal) : failure
  }
}

function sizeOf({ size }: { size?: { cols: number; rows: number } | undefined }): { columns: number; rows: number } {
  if (size === undefined) throw new Fault('BAD_REQUEST', 'pty.size: missing')
  return { columns: size.cols, rows: size.rows }
}
