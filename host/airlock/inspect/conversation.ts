import { isIP } from 'node:net'
import type { Duplex, Writable } from 'node:stream'
import { normaliseName, readHostPort } from '@caisson/policy'
import { type Refusal, refusalBody } from '../refusal-page.ts'
import { carry } from './carry.ts'
import type { Answer, Asking, Field, Question, Reply } from './exchange.ts'
import { valuesOf, without } from './fields.ts'
import type { Http1Asker } from './from-http1.ts'
import { keptOr } from './from-kept.ts'
import type { Inspected, Judged, Wanted } from './inspected.ts'
import type { Keeping } from './kept-answers.ts'
import { type Ground, isGround, type Passage, Withheld } from './passage.ts'
import type { Upstream } from './upstream.ts'
import type { Upstreams } from './upstreams.ts'
import { joinWebSocket } from './web-socket-pair.ts'

const DEFAULT_PORT = { http: 80, https: 443 }
/** TRACE echoes the request, including credentials; CONNECT asks for a connection that nobody has judged. */
const METHODS_REFUSED = new Set(['TRACE', 'TRACK', 'CONNECT'])
const OVERRIDES = ['x-http-method-override', 'x-http-method', 'x-method-override']
/** Fields that announce another server or protocol for later. */
const NOT_HANDED_ON = ['alt-svc']

const NOT_KEPT: Ground = { rule: 'cache replay', reason: 'it is not among the answers that are kept, and nothing else is asked for' }

type Allowed = Extract<Judged, { allowed: true }>

/** The requests of one connection, sequential or concurrent. Each is judged, then forwarded or answered here. */
export class Conversation implements Http1Asker {
  readonly scheme: 'http' | 'https'
  readonly #inspected: Inspected
  readonly #upstreams: Upstreams

  constructor(inspected: Inspected, scheme: 'http' | 'https', upstreams: Upstreams) {
    this.#inspected = inspected
    this.scheme = scheme
    this.#upstreams = upstreams
  }

  asked(question: Question, reply: Reply): void {
    this.#handOn(question, reply, async ({ passage, keep }, upstream, asking) => {
      const ask = (asked: Question) => answerTo({ ...asking, question: asked }, upstream, passage)
      if (keep === null) return await giveBack(await ask(asking.question), reply, passage)
      const url = `${this.scheme}://${asking.authority}${question.path}`
      const kept = await keptOr(keep, url, asking.question, ask)
      if (kept === undefined) throw new Withheld(NOT_KEPT)
      await giveBack(kept.answer, reply, passage, kept.keeping)
    }).catch(() => reply.breakOff())
  }

  upgraded(question: Question, reply: Reply, socket: Duplex, head: Buffer): void {
    const fields = without(question.fields, 'sec-websocket-extensions')
    this.#handOn({ ...question, fields }, reply, async ({ passage, keep }, upstream, asking) => {
      if (keep?.isReplay === true) throw new Withheld(NOT_KEPT)
      const upgraded = await upstream.upgrade(asking, 'websocket')
      if ('answer' in upgraded) return await giveBack(upgraded.answer, reply, passage)
      const passed = (await passage?.fields(upgraded.fields, 'in')) ?? upgraded.fields
      if (isGround(passed)) throw new Withheld(passed)
      reply.letGo()
      await joinWebSocket({ socket, head }, { ...upgraded, fields: passed }, asking.question, passage)
    }).catch(() => reply.breakOff())
  }

  crowded(waiting: number): void {
    this.#inspected.refuse(null, 'inspect', `more than ${waiting} requests of one connection would wait for their answers`)
  }

  async #handOn(said: Question, reply: Reply, send: (judged: Allowed, upstream: Upstream, asking: Asking) => Promise<void>): Promise<void> {
    const over = new AbortController()
    reply.onGone(() => over.abort())
    const wanted: Wanted = { scheme: said.scheme, method: said.method, methods: methodsOf(said), path: said.path }
    const begun = this.#inspected.begin()
    if (typeof begun === 'string') return this.#refuse(reply, 503, this.#inspected.refuse(wanted, 'inspect', begun))
    try {
      const target = this.#targetOf(said)
      if ('refusal' in target) return this.#refuse(reply, 421, target.refusal)
      if (METHODS_REFUSED.has(said.method)) {
        return this.#refuse(reply, 405, this.#inspected.refuse(wanted, 'method', `the method ${said.method} is not handed on`))
      }
      const judged = await this.#inspected.judge(this.#inspected.isProxied ? { ...wanted, target } : wanted)
      if (!judged.allowed) return this.#refuse(reply, 403, judged.refusal)
      // By the current rules: if they change during the search, there is no upstream to send to.
      const upstream = this.#upstreams.to(this.#inspected.sandbox, this.scheme, judged)
      const passed = (await judged.passage?.request(said)) ?? said
      if (isGround(passed)) return this.#refuse(reply, 403, this.#inspected.refuse(wanted, passed.rule, passed.reason))
      const inform = (status: number, fields: readonly Field[]) => void hint(status, fields, reply, judged.passage)
      await send(judged, upstream, { question: passed, authority: authorityOf(judged, said.scheme), inform, signal: over.signal })
    } catch (failure) {
      this.#failed(failure, wanted, reply)
    } finally {
      begun()
    }
  }

  /** The target that the request names must be the target of its connection. */
  #targetOf({ authority, scheme }: Question): { name: string | null; address: string | null; port: number } | { refusal: Refusal } {
    const { name, address, port, isProxied } = this.#inspected
    const here = { name, address, port }
    if (authority === null && !isProxied) return here
    const told = authority === null ? undefined : endpointOf(authority, DEFAULT_PORT[scheme])
    if (told !== undefined && isProxied) return told
    const isHere = told !== undefined && told.name === name && (name !== null || told.address === address)
    if (isHere && (told.port === port || !told.isPortSaid)) return here
    const reason = `the request names ${JSON.stringify((authority ?? '').slice(0, 255))}, and its connection is for ${name ?? address}:${port}`
    return { refusal: this.#inspected.refuse(null, 'host', reason) }
  }

  #refuse(reply: Reply, status: number, refusal: Refusal): void {
    say(reply, status, refusalBody(this.#inspected.sandbox, refusal))
  }

  #failed(failure: unknown, wanted: Wanted, reply: Reply): void {
    if (failure instanceof Withheld) {
      const refusal = this.#inspected.refuse(wanted, failure.ground.rule, failure.ground.reason)
      return reply.isBegun ? reply.breakOff() : this.#refuse(reply, 403, refusal)
    }
    if (reply.isBegun) return reply.breakOff()
    const { name, address, port, sandbox } = this.#inspected
    const why = failure instanceof Error ? ('code' in failure ? String(failure.code) : failure.message) : 'unknown'
    const message = `The request was allowed, but ${name ?? address}:${port} could not be asked (${why}).`
    say(reply, 502, `${JSON.stringify({ code: 'UPSTREAM_FAILED', message, hint: `caisson why ${sandbox}` })}\n`)
  }
}

async function answerTo(asking: Asking, upstream: Upstream, passage: Passage | null): Promise<Answer> {
  const sent = await upstream.ask(asking)
  const { body } = asking.question
  const isOut = body === null ? Promise.resolve(sent.body.end()) : carryOut(body, sent, asking.question, passage)
  // The server may answer and hang up before it has received everything.
  isOut.catch((failure: unknown) => sent.body.destroy(failure instanceof Error ? failure : undefined))
  return await Promise.race([sent.heard, isOut.then(() => sent.heard)])
}

async function carryOut(
  body: NonNullable<Question['body']>,
  sent: { body: Writable; finish(trailers: readonly Field[]): void },
  question: Question,
  passage: Passage | null,
): Promise<void> {
  const watch = passage?.watch({ what: 'body', way: 'out', fields: question.fields }) ?? null
  await carry(body, watch, sent.body)
  if (!question.isWhole()) throw new Error('the request was cut off')
  const trailers = (await passage?.fields(question.trailers(), 'out')) ?? question.trailers()
  if (isGround(trailers)) throw new Withheld(trailers)
  sent.finish(trailers)
}

/** Forwards a 1xx response, searched like a response. One that is refused or malformed is dropped, and nobody misses it. */
async function hint(status: number, fields: readonly Field[], reply: Reply, passage: Passage | null): Promise<void> {
  try {
    const passed = passage === null ? fields : await passage.fields(fields, 'in')
    if (!isGround(passed)) reply.inform(status, passed)
  } catch {
    // A server may send anything here; its final response still comes.
  }
}

async function giveBack(answer: Answer, reply: Reply, passage: Passage | null, keeping?: Keeping): Promise<void> {
  try {
    const passed = (await passage?.fields(answer.fields, 'in')) ?? answer.fields
    if (isGround(passed)) throw new Withheld(passed)
    const watch = passage?.watch({ what: 'body', way: 'in', fields: passed }) ?? null
    const changing = watch === null || watch.keepsLength ? [] : ['content-length']
    const to = reply.begin(answer.status, without(passed, ...NOT_HANDED_ON, ...changing))
    const length = await carry(answer.body, watch, to, keeping)
    // An HTTP/2 stream can be reset as if it were complete.
    const isWhole = answer.isWhole() && (length === 0 || valuesOf(answer.fields, 'content-length').every((said) => Number(said) === length))
    if (!isWhole) throw new Error('the answer was cut off')
    const trailers = (await passage?.fields(answer.trailers(), 'in')) ?? answer.trailers()
    if (isGround(trailers)) throw new Withheld(trailers)
    reply.finish(trailers)
    await keeping?.end(true)
  } catch (failure) {
    await keeping?.end(false)
    throw failure
  }
}

/** Its own method, and those in headers that some servers honour instead. */
function methodsOf({ method, fields }: Question): string[] {
  return [...new Set([method, ...OVERRIDES.flatMap((name) => valuesOf(fields, name))])]
}

/** Undefined: neither a name nor an address. */
function endpointOf(authority: string, defaultPort: number) {
  const read = readHostPort(authority)
  if (read === null) return undefined
  const port = { port: read.port ?? defaultPort, isPortSaid: read.port !== null }
  if (isIP(read.host) !== 0) return { name: null, address: canonical(read.host), ...port }
  const named = normaliseName(read.host)
  return 'name' in named ? { name: named.name, address: null, ...port } : undefined
}

/** An address has many spellings, but only one in URLs. */
function canonical(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address
}

function authorityOf({ name, dial, port }: Allowed, scheme: 'http' | 'https'): string {
  const host = name ?? dial[0] ?? ''
  const plain = isIP(host) === 6 ? `[${host}]` : host
  return port === DEFAULT_PORT[scheme] ? plain : `${plain}:${port}`
}

function say(reply: Reply, status: number, body: string): void {
  if (reply.isBegun) return
  const length = String(Buffer.byteLength(body))
  const fields: Field[] = [
    ['content-type', 'application/json'],
    ['content-length', length],
    ['cache-control', 'no-store'],
  ]
  reply.begin(status, fields).write(body)
  reply.finish([])
}
