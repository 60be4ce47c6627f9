import type { IncomingMessage, ServerResponse } from 'node:http'
import { sendJson } from './call.ts'

/** What somebody who knocks on a port is told when there is nothing behind it. The texts are E2B's: its SDKs read them. */

export function sendGone(request: IncomingMessage, reply: ServerResponse, sandboxId: string): void {
  send(request, reply, 502, { sandboxId, message: 'The sandbox was not found', code: 502 })
}

export function sendClosedPort(request: IncomingMessage, reply: ServerResponse, sandboxId: string, port: number): void {
  send(request, reply, 502, { sandboxId, message: 'The sandbox is running but port is not open', port, code: 502 }, {}, 'Closed Port Error')
}

export function sendTransitioning(request: IncomingMessage, reply: ServerResponse, sandboxId: string): void {
  send(
    request,
    reply,
    409,
    { sandboxId, message: 'The sandbox is changing its state: try again in a moment', code: 409 },
    { 'retry-after': '1' },
  )
}

export function sendRefused(request: IncomingMessage, reply: ServerResponse, sandboxId: string, message: string): void {
  send(request, reply, 403, { sandboxId, message, code: 403 })
}

export function sendCrowded(
  request: IncomingMessage,
  reply: ServerResponse,
  sandboxId: string,
  whose: 'sandbox' | 'owner' = 'sandbox',
): void {
  const whom = whose === 'sandbox' ? 'this sandbox' : 'this sandbox and others of its owner'
  send(request, reply, 429, { sandboxId, message: `Too many requests to ${whom} are under way`, code: 429 }, { 'retry-after': '1' })
}

export function sendBroken(request: IncomingMessage, reply: ServerResponse, sandboxId: string, port: number, why: string): void {
  send(request, reply, 502, { sandboxId, message: `The server inside did not answer properly: ${why}`, port, code: 502 })
}

interface Told {
  sandboxId: string
  message: string
  code: number
  port?: number
}

function send(
  request: IncomingMessage,
  reply: ServerResponse,
  status: number,
  told: Told,
  headers: Record<string, string> = {},
  title = String(status),
): void {
  if (reply.headersSent) {
    reply.destroy()
    return
  }
  if (!isBrowser(request)) {
    sendJson(reply, status, told, headers)
    return
  }
  const page = pageOf(told, title)
  reply.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': Buffer.byteLength(page),
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
    'cache-control': 'no-store',
    ...headers,
  })
  reply.end(page)
}

/** Who asks for HTML shows it to a person; so does who calls itself a browser and asks for anything, as E2B has it. Programs get JSON. */
function isBrowser({ headers }: IncomingMessage): boolean {
  const { accept = '*/*' } = headers
  return accept.includes('text/html') || (accept.includes('*/*') && headers['user-agent']?.startsWith('Mozilla/') === true)
}

function pageOf({ sandboxId, message, port }: Told, title: string): string {
  const place = port === undefined ? `sandbox ${sandboxId}` : `sandbox ${sandboxId}, port ${port}`
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:20vh auto;padding:0 1em}code{color:#666}</style>
<h1>${escaped(message)}</h1><p><code>${escaped(place)}</code></p></html>
`
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`)
}
