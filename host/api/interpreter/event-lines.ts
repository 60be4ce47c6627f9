import type { ServerResponse } from 'node:http'
import type { ExactJson, Fault, Rich, RunError, RunEvent } from '@caisson/wire'
import { StreamedAnswer } from '../streamed-answer.ts'
import { WholeLines } from './whole-lines.ts'

/** Clients, and what lies between, take a connection for dead on which nothing is said. */
const KEEPALIVE_MS = 5000
const KEEPALIVE = '{"type":"keepalive"}\n'
const END = '{"type":"end_of_execution"}\n'

/** That a run has begun is news to nobody who asked for it. */
const FIRST_MS = 25
const HEADERS = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' }

/** The answer of a run: one JSON object per line. Until the first one the answer may still be another. */
export class EventLines {
  readonly #answer: StreamedAnswer
  /** Our own clients are told more, and texts as they are. */
  readonly #isOurs: boolean
  /** E2B's runtime of this language prints the end of a line by itself: programs look for lines without it. */
  readonly #isEndApart: boolean
  /** E2B's R prints a value at once, and programs look for it whole. */
  readonly #whole: WholeLines | undefined
  readonly #keepalive: NodeJS.Timeout
  #hasBegun = false

  /** `full` as of `StreamedAnswer`. */
  constructor(reply: ServerResponse, isOurs: boolean, language: string | undefined, full: () => void) {
    this.#answer = new StreamedAnswer(reply, HEADERS, FIRST_MS, full)
    this.#isOurs = isOurs
    this.#isEndApart = !isOurs && language === 'java'
    if (!isOurs && language === 'r') this.#whole = new WholeLines((text, atMs) => this.#write(printed('stdout', text, atMs)))
    this.#keepalive = setInterval(() => void this.#write(KEEPALIVE), KEEPALIVE_MS)
  }

  /** Whether a line has been told. */
  get hasBegun(): boolean {
    return this.#hasBegun
  }

  /** While the result is pending, the client has more to read than it can take. */
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
        // Told at the end, when it is known whether a limit was behind it.
        return undefined
    }
  }

  fail({ name, value, traceback }: RunError): void | Promise<void> {
    void this.#whole?.flush()
    return this.#write(line({ type: 'error', name, value, traceback }))
  }

  /** A line that only our own clients read. */
  add(event: { type: 'exit'; exit_code: number } | { type: 'limit'; reason: string }): void {
    if (this.#isOurs) void this.#write(line(event))
  }

  /** Why the run could not go on, in a line that only our own clients read. False: this is another one's, and must be told in E2B's words. */
  refuse({ code, message, hint }: Fault): boolean {
    if (this.#isOurs) void this.#write(line({ type: 'failure', error_code: code.toLowerCase(), message, hint }))
    return this.#isOurs
  }

  end(): void {
    void this.#whole?.flush()
    this.stop()
    this.#answer.end(Buffer.from(END))
  }

  /** Nothing more is said. */
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

/**
 * ASCII only: a client that decodes each piece of the stream by itself would break a character that lies across two. What has no value is not
 * there at all.
 */
function line(event: object): string {
  return `${ascii(JSON.stringify(event))}\n`
}

/** With nanoseconds, which are more digits than a number of JavaScript has. */
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
  // As text they go last, and replace what was parsed of them.
  const texts = Object.entries(exact).map(([form, json]) => {
    delete forms[form as keyof ExactJson]
    return `,"${form}":${ascii(json)}`
  })
  return `${line(forms).slice(0, -2)}${texts.join('')}}\n`
}

/** The text of a string is shown as a literal of its language; the string itself is what people expect. */
function unquoted(text: string): string {
  const [first] = text
  const isQuoted = text.length > 1 && (first === "'" || first === '"' || first === '`') && text.endsWith(first)
  return isQuoted ? text.slice(1, -1) : text
}
