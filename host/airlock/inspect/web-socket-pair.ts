import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Field, Question } from './exchange.ts'
import type { Passage } from './passage.ts'
import { WebSocketFrames } from './web-socket.ts'

interface End {
  readonly socket: Duplex
  /** Bytes already received. */
  readonly head: Buffer
}

/** Forwards the server's acceptance to the client, then frames both ways until one side ends. */
export async function joinWebSocket(
  client: End,
  server: End & { readonly fields: readonly Field[] },
  question: Question,
  passage: Passage | null,
): Promise<void> {
  const watch = (way: 'out' | 'in') => () => passage?.watch({ what: 'message', way, fields: question.fields }) ?? null
  const lines = server.fields.map(([name, value]) => `${name}: ${value}`)
  client.socket.write(
    ['HTTP/1.1 101 Switching Protocols', 'connection: Upgrade', 'upgrade: websocket', ...lines, '', ''].join('\r\n'),
    'latin1',
  )
  if (client.head.length > 0) client.socket.unshift(client.head)
  if (server.head.length > 0) server.socket.unshift(server.head)
  try {
    await Promise.all([
      pipeline(client.socket, new WebSocketFrames(true, watch('out')), server.socket),
      pipeline(server.socket, new WebSocketFrames(false, watch('in')), client.socket),
    ])
  } finally {
    client.socket.destroy()
    server.socket.destroy()
  }
}
