import type { ServerResponse } from 'node:http'
import type { ExactJson, Fault, Rich, RunError, RunEvent } from '@caisson/wire'
import { StreamedAnswer } from '../streamed-answer.ts'
import { WholeLines } from './whole-lines.ts'

/** Clients and proxies consider a silent connection dead. */
const KEEPALIVE_MS = 5000
const KEEPALIVE = '{"type":"keepalive"}\n'
const END = '{"type":"end_of_execution"}\n'

/** How long the first event waits for others: a client does not need to know early that its run has started. */
const FIRST_MS = 25
const HEADERS = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' }

/** The answer to a run: one JSON object per line. Until the first line is sent, a different answer is still possible. */
export class EventLines {
  readonly #answer: StreamedAnswer
  /** Our own clients get additional events, and unmodified texts. */
  readonly #isOurs: boolean
  /** E2B's runtime for this language prints the newline separately: programs compare lines without it. */
  readonly #isEndApart: boolean
  /** E2B's R prints a value in one piece, and programs expect it whole. */
  readonly #whole: WholeLines | undefined
  readonly #keepalive: NodeJS.Timeout
  #hasBegun = false

  /** `full`: as in `StreamedAnswer`. */
  constructor(reply: ServerResponse, isOurs: boolean, language: string | undefined, full: () => void) {
    this.#answer = new StreamedAnswer(reply, HEADERS, FIRST_MS, full)
    this.#isOurs = isOurs
    this.#isEndApart = !isOurs && language === 'java'
    if (!isOurs && language === 'r') this.#whole = new WholeLines((text, atMs) => this.#write(printed('stdout', text, atMs)))
    this.#keepalive = setInterval(() => void this.#write(KEEPALIVE), KEEPALIVE_MS)
  }

  /** Whether a line has been sent. */
  get hasBegun(): boolean {
    return this.#hasBegun
  }

  /** The returned promise is pending while the client reads too slowly. */
  readonly tell = (event: RunEvent): void | Promise<void> => {
    if (this.#whole !== undefined && event.type === 'stdout') return this.#whole.add(event.text, event.atMs)
    void this.#whole?.flush()
    switch (event.type) {
      case 'started':
        return this.#write(line({ type: 'number_of_executions', execution_count: event.executionCount }))
      case 'stdout':
      case 'stderr':
        return this.#write(
          this.#pieces(event.text)
            .map((text) => printed(event.type, text, event.atMs))
            .join(''),
        )
      case 'result':
        return this.#write(resultLine(event.result, event.exact ?? {}, this.#isOurs))
      case 'error':
        // Reported at the end, once it is known whether a limit was the cause.
        return undefined
    }
  }

  fail({ name, value, traceback }: RunError): void | Promise<void> {
    void this.#whole?.flush()
    return this.#write(line({ type: 'error', name, value, traceback }))
  }

  /** A line for our own clients only. */
  add(event: { type: 'exit'; exit_code: number } | { type: 'limit'; reason: string }): void {
    if (this.#isOurs) void this.#write(line(event))
  }

  /** Why the run could not continue, as a line for our own clients. False: for other clients, report it in E2B's format. */
  refuse({ code, message, hint }: Fault): boolean {
    if (this.#isOurs) void this.#write(line({ type: 'failure', error_code: code.toLowerCase(), message, hint }))
    return this.#isOurs
  }

  end(): void {
    void this.#whole?.flush()
    this.stop()
    this.#answer.end(Buffer.from(END))
  }

  /** Sends nothing more. */
  stop(): void {
    clearInterval(this.#keepalive)
    this.#whole?.forget()
    this.#answer.stop()
  }

  #pieces(text: string): readonly string[] {
    return this.#isEndApart && text.length > 1 && text.endsWith('\n') ? [text.slice(0, -1), '\n'] : [text]
  }

  #write(text: string): void | Promise<void> {
    this.#hasBegun = true
    this.#keepalive.refresh()
    return this.#answer.say(Buffer.from(text))
  }
}

/** ASCII only, because a client that decodes each chunk separately would break a character split across two. Undefined members are left out. */
function line(event: object): string {
  return `${ascii(JSON.stringify(event))}\n`
}

/** With nanoseconds, which exceed the precision of a JavaScript number. */
function printed(type: 'stdout' | 'stderr', text: string, atMs: number): string {
  return `${line({ type, text }).slice(0, -2)},"timestamp":${Math.round(atMs * 1000)}000}\n`
}

function ascii(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, escaped)
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function resultLine({ isMainResult, text, ...others }: Rich, exact: ExactJson, isOurs: boolean): string {
  const shown = text === undefined || isOurs ? text : unquoted(text)
  const forms = { type: 'result', is_main_result: isMainResult, ...(shown === undefined ? {} : { text: shown }), extra: {}, ...others }
  // Appended as text, last, so that they replace the parsed members.
  const texts = Object.entries(exact).map(([form, json]) => {
    delete forms[form as keyof ExactJson]
    return `,"${form}":${ascii(json)}`
  })
  return `${line(forms).slice(0, -2)}${texts.join('')}}\n`
}

/** A string's text is shown as a literal of its language; people expect the string itself. */
function unquoted(text: string): string {
  const [first] = text
  const isQuoted = text.length > 1 && (first === "'" || first === '"' || first === '`') && text.endsWith(first)
  return isQuoted ? text.slice(1, -1) : text
}
