import { Agent, type ClientRequest, type IncomingMessage, request as send } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Answer, Asking, Field } from './exchange.ts'
import { endToEnd, fieldsOf, rawOf, valuesOf } from './fields.ts'

/** Less than servers wait for the next request, so that few requests meet a closing connection. */
const REST_MS = 4000
const MAX_RESTING = 8
const MAX_HEAD_BYTES = 64 * 1024
const REPEATABLE = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Keep-alive HTTP/1.1 connections to one server. Not a subclass, which would load `node:http` even where it is not used. */
export function keptConnections(connect: () => Promise<Duplex>): Agent {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: MAX_RESTING, timeout: REST_MS, scheduling: 'lifo' })
  // The destination is already decided; the host that Node passes is ignored.
  const createConnection: Agent['createConnection'] = (_, callback) => {
    connect().then(
      (socket) => callback?.(null, socket),
      (failure: Error) => callback?.(failure, undefined as unknown as Duplex),
    )
    return undefined
  }
  return Object.assign(agent, { createConnection })
}

export interface Sent<Heard> {
  readonly heard: Promise<Heard>
  /** Takes the body. */
  readonly body: ClientRequest
  finish(trailers: readonly Field[]): void
}

/** Rejects if there is no answer. A request without a body that meets a closing connection is retried once. */
export function askHttp1(agent: Agent, asking: Asking): Sent<Answer> {
  const { question } = asking
  const sent = begin(agent, asking, [])
  const answered = (request: ClientRequest) =>
    new Promise<Answer>((resolve, reject) => {
      request.on('response', (response) => resolve(answerOf(response))).on('error', reject)
    })
  const heard = answered(sent).catch((failure: unknown) => {
    const mayRepeat = sent.reusedSocket && question.body === null && REPEATABLE.has(question.method) && !asking.signal.aborted
    if (!mayRepeat) throw failure
    const again = begin(agent, asking, [])
    again.end()
    return answered(again)
  })
  return { heard, body: sent, finish: (trailers) => finish(sent, trailers) }
}

export type Upgraded = { readonly answer: Answer } | { readonly fields: readonly Field[]; readonly socket: Duplex; readonly head: Buffer }

/** Upgrades to another protocol, on a connection of its own. */
export function upgradeHttp1(connect: () => Promise<Duplex>, asking: Asking, protocol: string): Promise<Upgraded> {
  const agent = keptConnections(connect)
  const sent = begin(agent, asking, [
    ['connection', 'upgrade'],
    ['upgrade', protocol],
  ])
  sent.end()
  return new Promise<Upgraded>((resolve, reject) => {
    sent
      .on('upgrade', (response, socket, head) => resolve({ fields: endToEnd(fieldsOf(response.rawHeaders)), socket, head }))
      .on('response', (response) => resolve({ answer: answerOf(response) }))
      .on('error', reject)
  })
}

function begin(agent: Agent, { question, authority, inform, signal }: Asking, further: readonly Field[]): ClientRequest {
  const { method, path, body } = question
  const isSized = valuesOf(question.fields, 'content-length').length > 0
  const coding: Field[] = body !== null && !isSized ? [['transfer-encoding', 'chunked']] : []
  const sent = send({
    agent,
    method,
    path,
    headers: rawOf([['host', authority], ...crumbsJoined(question.fields), ...coding, ...further]),
    setHost: false,
    timeout: 0,
    maxHeaderSize: MAX_HEAD_BYTES,
    insecureHTTPParser: false,
    signal,
  })
  sent.on('information', ({ statusCode, rawHeaders }) => inform(statusCode, fieldsOf(rawHeaders)))
  if (body !== null) sent.flushHeaders()
  return sent
}

/** HTTP/2 may split cookies into several fields; HTTP/1.1 needs a single one (RFC 9113, 8.2.3). */
function crumbsJoined(fields: readonly Field[]): Field[] {
  const crumbs = valuesOf(fields, 'cookie')
  if (crumbs.length < 2) return [...fields]
  return [...fields.filter(([name]) => name.toLowerCase() !== 'cookie'), ['cookie', crumbs.join('; ')]]
}

function finish(sent: ClientRequest, trailers: readonly Field[]): void {
  if (trailers.length > 0) sent.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]))
  sent.end()
}

function answerOf(response: IncomingMessage): Answer {
  return {
    status: response.statusCode ?? 502,
    fields: endToEnd(fieldsOf(response.rawHeaders)),
    body: response,
    isWhole: () => response.complete,
    trailers: () => fieldsOf(response.rawTrailers),
  }
}
