import { connect, type Socket } from 'node:net'

export interface RawReply {
  status: number
  head: string
  // biome-ignore lint/suspicious/noExplicitAny: whatever the JSON is.
  body: any
  text: string
}

/** Everything that comes until the other side ends; `error` when it broke off. */
export function everything(socket: Socket): Promise<{ text: string; error?: NodeJS.ErrnoException }> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = []
    let error: NodeJS.ErrnoException | undefined
    socket.on('data', (piece: Buffer) => pieces.push(piece))
    socket.on('error', (failure) => {
      error = failure
    })
    socket.on('close', () => resolve({ text: Buffer.concat(pieces).toString('latin1'), ...(error === undefined ? {} : { error }) }))
  })
}

/** Says exactly these bytes, and reads until the server ends the connection. */
export async function exchange(port: number, bytes: string | Buffer): Promise<RawReply> {
  const socket = connect(port, '127.0.0.1')
  const all = everything(socket)
  socket.write(bytes)
  return parseReply((await all).text)
}

export function parseReply(text: string): RawReply {
  const end = text.indexOf('\r\n\r\n')
  const head = end === -1 ? text : text.slice(0, end)
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0)
  const rest = end === -1 ? '' : text.slice(end + 4)
  return { status, head, text: rest, body: jsonOrNull(rest) }
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (failure) {
    if (failure instanceof SyntaxError) return null
    throw failure
  }
}
