import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  /** Of the first answer; null: the connection was closed, or stayed silent, without one. */
  status: number | null
  text: string
  /** The server closed the connection. */
  closed: boolean
  sentBytes: number
}

interface ExchangeOptions {
  /** Done when nothing has come for this long after the last piece was sent. */
  quietMs?: number
  /** Never send more than this, however long the server takes it. */
  maxBytes?: number
  /** Close our half when all is sent. */
  end?: boolean
}

/** Sends bytes as no decent client would, and gives back what came of it. Stops sending when the server answers or closes. */
export async function exchange(url: string, pieces: Iterable<string | Buffer>, options: ExchangeOptions = {}): Promise<RawAnswer> {
  const { quietMs = 3000, maxBytes = 256 * 1024 * 1024, end = false } = options
  const socket = await dial(url)
  let text = ''
  let closed = false
  let sentBytes = 0
  let last = Date.now()
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1')
    last = Date.now()
  })
  const over = new Promise<void>((resolve) => {
    const finish = () => {
      closed = true
      resolve()
    }
    socket.on('close', finish).on('end', finish)
    // A reset is an answer too.
    socket.on('error', finish)
  })
  for (const piece of pieces) {
    if (closed || text !== '' || sentBytes >= maxBytes) break
    const goesOn = socket.write(piece)
    sentBytes += piece.length
    last = Date.now()
    if (!goesOn) await Promise.race([over, once(socket, 'drain'), quiet(() => last, quietMs)])
    else if (sentBytes % (1 << 20) < piece.length) await new Promise(setImmediate)
  }
  if (end) socket.end()
  await Promise.race([over, quiet(() => last, quietMs), complete(() => text)])
  socket.destroy()
  const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]
  return { status: status === undefined ? null : Number(status), text, closed, sentBytes }
}

export async function dial(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  return socket
}

/** A request's head. */
export function head(line: string, headers: Record<string, string> = {}): string {
  const all = { host: 'localhost', ...headers }
  return [`${line} HTTP/1.1`, ...Object.entries(all).map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n')
}

/** `piece`, again and again. */
export function* endless<T>(piece: T): Generator<T> {
  for (;;) yield piece
}

function once(socket: Socket, event: string): Promise<void> {
  return new Promise((resolve) => socket.once(event, () => resolve()))
}

async function quiet(last: () => number, quietMs: number): Promise<void> {
  while (Date.now() - last() < quietMs) await new Promise((resolve) => setTimeout(resolve, 50))
}

/** An answer whose length is known has come whole. */
async function complete(text: () => string): Promise<void> {
  for (;;) {
    const [top = '', ...rest] = text().split('\r\n\r\n')
    const length = /^content-length: (\d+)/im.exec(top)?.[1]
    if (rest.length > 0 && length !== undefined && rest.join('\r\n\r\n').length >= Number(length)) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
