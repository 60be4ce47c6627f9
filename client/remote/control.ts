import { Fault } from '@caisson/wire'
import { asRecord, type Json, wholeJson, wholeText } from './json.ts'
import { type Answer, type Ask, Link, type LinkOptions } from './link.ts'
import { refusal } from './refusal.ts'

export interface ControlOptions extends LinkOptions {
  key?: string | undefined
}

/** A daemon's control plane, used with one key. */
export class Control {
  readonly link: Link
  readonly #key: string | undefined

  /** Throws BAD_REQUEST if the address or the key is malformed. */
  constructor(options: ControlOptions) {
    this.link = new Link(options)
    this.#key = options.key
    if (this.#key !== undefined && !/^[\x21-\x7e]+$/.test(this.#key)) {
      throw new Fault('BAD_REQUEST', 'the key has characters that no key has', {
        hint: 'Use the key that `caisson env` prints (CAISSON_API_KEY).',
      })
    }
  }

  /** Rejects with the Fault that an unsuccessful answer stands for. `what` names the operation in the error. */
  async ask(ask: Ask, what: string, signal: AbortSignal): Promise<Answer> {
    const key = this.#key === undefined ? {} : { 'x-api-key': this.#key }
    const answer = await this.link.ask({ ...ask, headers: { ...key, ...ask.headers } }, signal)
    if (answer.status >= 200 && answer.status < 300) return answer
    throw await refusal(answer, what)
  }

  async json(method: Ask['method'], path: string, body: object | undefined, what: string, signal: AbortSignal): Promise<Json> {
    return asRecord(await wholeJson(await this.ask(jsonAsk(method, path, body), what, signal), what), what)
  }

  /** For requests whose answer has no useful content. */
  async done(method: Ask['method'], path: string, body: object | undefined, what: string, signal: AbortSignal): Promise<void> {
    await wholeText(await this.ask(jsonAsk(method, path, body), what, signal), what)
  }
}

export function jsonAsk(method: Ask['method'], path: string, body: object | undefined): Ask {
  return body === undefined
    ? { method, path }
    : { method, path, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
}

/** The path of a sandbox, both in E2B's control plane and, below `/caisson/v1`, in ours. */
export function sandboxPath(id: string): string {
  return `/sandboxes/${encodeURIComponent(id)}`
}
