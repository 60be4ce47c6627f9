import { once } from 'node:events'
import type { Socket } from 'node:net'
import { readAddress } from '@caisson/policy'
import type { Through } from '../egress.ts'

const VERSION = 5
const NO_CREDENTIALS = 0
const CREDENTIALS = 2
const CONNECT = 1
const V4 = 1
const NAME = 3
const V6 = 4

/** The proxy refuses us; its other addresses will not help. */
export class ProxyRefusal extends Error {}

/**
 * The client side of SOCKS5 (RFC 1928, RFC 1929). It asks for the checked address, never for a name, so that the proxy resolves nothing. Afterwards the socket
 * leads to the server. Rejects with ProxyRefusal, or if the proxy does not connect to this address.
 */
export async function introduce(
  socket: Socket,
  target: { readonly address: string; readonly port: number },
  credentials: Through['credentials'],
  signal: AbortSignal,
): Promise<void> {
  const hearing = new Hearing(socket, signal)
  socket.write(Buffer.from(credentials === null ? [VERSION, 1, NO_CREDENTIALS] : [VERSION, 2, NO_CREDENTIALS, CREDENTIALS]))
  const [version, method] = await hearing.next(2)
  if (version !== VERSION) throw new ProxyRefusal('the egress proxy does not speak SOCKS5')
  if (method === CREDENTIALS && credentials !== null) {
    const words = [credentials.username, credentials.password].map((text) => Buffer.from(text))
    socket.write(Buffer.concat([Buffer.from([1]), ...words.flatMap((word) => [Buffer.from([word.length]), word])]))
    const [, status] = await hearing.next(2)
    if (status !== 0) throw new ProxyRefusal('the egress proxy refused the credentials')
  } else if (method !== NO_CREDENTIALS) {
    throw new ProxyRefusal('the egress proxy wants other credentials than there are')
  }
  const port = Buffer.alloc(2)
  port.writeUInt16BE(target.port)
  socket.write(Buffer.concat([Buffer.from([VERSION, CONNECT, 0]), written(target.address), port]))
  const [again, reply, , kind, first = 0] = await hearing.next(5)
  if (again !== VERSION) throw new ProxyRefusal('the egress proxy does not speak SOCKS5')
  if (reply !== 0) throw new Error(`the egress proxy leads nowhere near it (reply ${reply})`)
  const length = kind === V4 ? 4 : kind === V6 ? 16 : kind === NAME ? 1 + first : undefined
  if (length === undefined) throw new ProxyRefusal('the egress proxy does not speak SOCKS5')
  await hearing.next(length + 2 - 1)
  hearing.over()
}

function written(text: string): Buffer {
  const address = readAddress(text)
  if (address === null) throw new Error(`${text} is not an address`)
  const hex = address.value.toString(16).padStart(address.family === 4 ? 8 : 32, '0')
  return Buffer.concat([Buffer.from([address.family === 4 ? V4 : V6]), Buffer.from(hex, 'hex')])
}

/** Reads the proxy's replies piece by piece. */
class Hearing {
  readonly #socket: Socket
  readonly #signal: AbortSignal
  #heard = Buffer.alloc(0)

  constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket
    this.#signal = signal
  }

  /** Takes everything available and puts the surplus back in `over`: waiting while unread data remains would wake up at once, in a loop. */
  async next(bytes: number): Promise<Buffer> {
    while (this.#heard.length < bytes) {
      const more: Buffer | null = this.#socket.read()
      if (more !== null) this.#heard = Buffer.concat([this.#heard, more])
      else if (this.#socket.readableEnded || this.#socket.destroyed) throw new Error('the egress proxy ended the connection')
      else await once(this.#socket, 'readable', { signal: this.#signal })
    }
    const wanted = this.#heard.subarray(0, bytes)
    this.#heard = this.#heard.subarray(bytes)
    return wanted
  }

  /** Data after the replies comes from the server. */
  over(): void {
    if (this.#heard.length > 0) this.#socket.unshift(this.#heard)
  }
}
