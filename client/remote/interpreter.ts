import { type ContextInfo, EndReason, type Execution, Fault, type Rich, type RunError, type RunEvent, type RunRequest } from '@caisson/wire'
import { present } from '../present.ts'
import { exitBehind } from './exits.ts'
import { lines } from './framing.ts'
import { asList, asRecord, isRecord, type Json, needed, number, parseJson, text, wholeJson, wholeText } from './json.ts'
import { refusalIn } from './refusal.ts'
import { PORT, type Visit } from './visit.ts'

/** No more is read while a returned promise is pending (backpressure). */
type Listener = (event: RunEvent) => void | Promise<void>

const JSON_TYPE = { 'content-type': 'application/json' }
const NANOSECONDS_PER_MS = 1_000_000

/** Members of a result's line on the wire that have a name there; any other is a representation that E2B has no name for. */
const FORMS = ['text', 'html', 'markdown', 'svg', 'png', 'jpeg', 'pdf', 'latex', 'json', 'javascript', 'data', 'chart', 'extra'] as const

/** The code interpreter of a sandbox, over HTTP. */
export class Interpreter {
  readonly #visit: Visit

  constructor(visit: Visit) {
    this.#visit = visit
  }

  async contexts(signal: AbortSignal): Promise<ContextInfo[]> {
    const what = 'list contexts'
    const answer = await this.#visit.ask(PORT.interpreter, { method: 'GET', path: '/contexts' }, what, signal)
    return asList(await wholeJson(answer, what), what).map((context) => contextOf(context, what))
  }

  async createContext(request: { language: string; cwd?: string }, signal: AbortSignal): Promise<ContextInfo> {
    const what = 'create a context'
    const ask = { method: 'POST' as const, path: '/contexts', headers: JSON_TYPE, body: JSON.stringify(request) }
    return contextOf(asRecord(await wholeJson(await this.#visit.ask(PORT.interpreter, ask, what, signal), what), what), what)
  }

  async tell(verb: 'restart' | 'interrupt' | 'delete', id: string, signal: AbortSignal): Promise<void> {
    const what = `${verb} context ${id}`
    const path = `/contexts/${encodeURIComponent(id)}`
    const ask = verb === 'delete' ? { method: 'DELETE' as const, path } : { method: 'POST' as const, path: `${path}/${verb}` }
    await wholeText(await this.#visit.ask(PORT.interpreter, ask, what, signal), what)
  }

  /** An abort ends the request, which interrupts the code. */
  async run(request: RunRequest, on: Listener, signal: AbortSignal): Promise<Execution> {
    const { code, contextId, language, env, program, timeoutMs } = request
    const body = JSON.stringify(present({ code, context_id: contextId, language, env_vars: env, program, timeout_ms: timeoutMs }))
    const ask = { method: 'POST' as const, path: '/execute', headers: JSON_TYPE, body }
    const answer = await this.#visit.ask(PORT.interpreter, ask, 'run code', signal)
    const heard = new Heard(on)
    try {
      for await (const line of lines(answer.body)) await heard.line(asRecord(parseJson(line, 'run code'), 'run code'))
      if (heard.isOver) return heard.execution
      throw await this.#visit.explain(new Fault('DAEMON_UNREACHABLE', 'the daemon broke off the run'), signal)
    } catch (failure) {
      const { exitCode, limit } = exitBehind(failure, false)
      await heard.died(exitCode, limit)
      return heard.execution
    }
  }
}

/** What has been received about a run. */
class Heard {
  isOver = false
  readonly #on: Listener
  readonly #texts = { stdout: [] as string[], stderr: [] as string[] }
  #rest: Omit<Execution, 'stdout' | 'stderr'> = { results: [], executionCount: 0 }

  constructor(on: Listener) {
    this.#on = on
  }

  get execution(): Execution {
    return { ...this.#rest, stdout: this.#texts.stdout.join(''), stderr: this.#texts.stderr.join('') }
  }

  /** The run ended with its sandbox, which hit a limit. */
  died(exitCode: number, limit: EndReason | undefined): void | Promise<void> {
    this.#rest = { ...this.#rest, exitCode, ...(limit === undefined ? {} : { limit }) }
    const value = 'the runtime was ended with its sandbox'
    return this.#fail({ name: 'RuntimeDied', value, traceback: `RuntimeDied: ${value}` })
  }

  /** Throws the failure of the run itself that the daemon reports. */
  line(line: Json): void | Promise<void> {
    switch (line['type']) {
      case 'failure':
        throw refusalIn(line, 'run code')
      case 'number_of_executions':
        this.#rest.executionCount = number(line, 'execution_count') ?? 0
        return this.#on({ type: 'started', executionCount: this.#rest.executionCount })
      case 'stdout':
      case 'stderr':
        return this.#say(line['type'], line)
      case 'result': {
        const result = richOf(line)
        this.#rest.results.push(result)
        return this.#on({ type: 'result', result })
      }
      case 'error':
        return this.#fail({ name: text(line, 'name') ?? '', value: text(line, 'value') ?? '', traceback: text(line, 'traceback') ?? '' })
      default:
        this.#note(line)
    }
  }

  /** Handles what listeners are not told. */
  #note(line: Json): void {
    const limit = EndReason.safeParse(line['reason'])
    if (line['type'] === 'exit') this.#rest.exitCode = number(line, 'exit_code') ?? 0
    else if (line['type'] === 'limit' && limit.success) this.#rest.limit = limit.data
    else if (line['type'] === 'end_of_execution') this.isOver = true
  }

  #fail(error: RunError): void | Promise<void> {
    this.#rest.error = error
    return this.#on({ type: 'error', error })
  }

  #say(type: 'stdout' | 'stderr', line: Json): void | Promise<void> {
    const said = text(line, 'text') ?? ''
    const atNs = number(line, 'timestamp')
    this.#texts[type].push(said)
    return this.#on({ type, text: said, atMs: atNs === undefined ? Date.now() : atNs / NANOSECONDS_PER_MS })
  }
}

function richOf(line: Json): Rich {
  const forms: Record<string, unknown> = {}
  for (const form of FORMS) if (line[form] !== undefined && line[form] !== null) forms[form] = line[form]
  if (isRecord(forms['extra']) && Object.keys(forms['extra']).length === 0) delete forms['extra']
  return { ...(forms as Omit<Rich, 'isMainResult'>), isMainResult: line['is_main_result'] === true }
}

function contextOf(context: Json, what: string): ContextInfo {
  return {
    id: needed(text(context, 'id'), what, 'an id'),
    language: text(context, 'language') ?? '',
    cwd: text(context, 'cwd') ?? '',
  }
}
