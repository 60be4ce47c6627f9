import type { IncomingMessage, ServerResponse } from 'node:http'

/** Any page may ask: what it needs is a key or a token, which no browser sends by itself. */

const DAY_S = '86400'

/** The answer to an OPTIONS request. */
export function sendPreflight(request: IncomingMessage, reply: ServerResponse): void {
  const wanted = request.headers['access-control-request-headers']
  reply.writeHead(204, {
    'access-control-allow-origin': '*',
    'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
    // A `*` does not stand for Authorization.
    'access-control-allow-headers': wanted === undefined ? '*' : wanted,
    'access-control-max-age': DAY_S,
    vary: 'access-control-request-headers',
  })
  reply.end()
}

/** For a request that comes from a page; others are spared the bytes. */
export function allowOrigin(request: IncomingMessage, reply: ServerResponse): void {
  if (request.headers.origin === undefined) return
  reply.setHeader('access-control-allow-origin', '*')
  reply.setHeader('access-control-expose-headers', '*')
}
