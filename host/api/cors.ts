import type { IncomingMessage, ServerResponse } from 'node:http'

/** Any origin is allowed: requests need a key or token, which no browser sends by itself. */

const DAY_S = '86400'

/** Answers an OPTIONS request. */
export function sendPreflight(request: IncomingMessage, reply: ServerResponse): void {
  const wanted = request.headers['access-control-request-headers']
  reply.writeHead(204, {
    'access-control-allow-origin': '*',
    'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
    // `*` does not include Authorization.
    'access-control-allow-headers': wanted === undefined ? '*' : wanted,
    'access-control-max-age': DAY_S,
    vary: 'access-control-request-headers',
  })
  reply.end()
}

/** Only for requests from a page; others are spared the bytes. */
export function allowOrigin(request: IncomingMessage, reply: ServerResponse): void {
  if (request.headers.origin === undefined) return
  reply.setHeader('access-control-allow-origin', '*')
  reply.setHeader('access-control-expose-headers', '*')
}
