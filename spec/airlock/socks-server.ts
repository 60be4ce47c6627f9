import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

interface SocksOptions {
  /** `name:password`; absent: it wants none. */
  credentials?: string
  /** Instead of all that a proxy would do. */
  serve?: (peer: Socket) => void
  /** The code it answers with, and does not dial; absent: it dials. */
  reply?: number
}

/** A SOCKS5 proxy that remembers who came, with what, and where to. */
export class SocksServer implements Disposable {
  readonly port: number
  connections = 0
  /** Address type and target, as they were asked for. */
  readonly asked: string[] = []
  readonly shown: string[] = []
  readonly options: SocksOptions
  readonly #server: Server
  readonly #peers: Set<Socket>

  private constructor(server: Server, peers: Set<Socket>, options: SocksOptions) {
    this.#server = server
    this.#peers = peers
    this.options = options
    this.port = (server.address() as AddressInfo).port
  }

  static async open(options: SocksOptions = {}): Promise<SocksServer> {
    const peers = new Set<Socket>()
    let socks: SocksServer | undefined
    const server = createServer({ allowHalfOpen: true }, (peer) => {
      peers.add(peer)
      peer.on('error', () => peer.destroy()).on('close', () => peers.delete(peer))
      if (socks === undefined) return void peer.destroy()
      socks.connections += 1
      if (socks.options.serve !== undefined) socks.options.serve(peer)
      else void socks.#speak(peer).catch(() => peer.destroy())
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    socks = new SocksServer(server, peers, options)
    return socks
  }

  get live(): number {
    return this.#peers.size
  }

  async #speak(peer: Socket): Promise<void> {
    const read = (bytes: number) => taken(peer, bytes)
    const [, count = 0] = await read(2)
    const offered = [...(await read(count))]
    const { credentials } = this.options
    const method = credentials === undefined ? 0 : 2
    if (!offered.includes(method)) return refuse(peer, [5, 255])
    peer.write(Buffer.from([5, method]))
    if (credentials !== undefined) {
      const [, nameLength = 0] = await read(2)
      const name = await read(nameLength)
      const [wordLength = 0] = await read(1)
      const shown = `${name}:${await read(wordLength)}`
      this.shown.push(shown)
      peer.write(Buffer.from([1, shown === credentials ? 0 : 1]))
      if (shown !== credentials) return refuse(peer, [])
    }
    const [, , , kind] = await read(4)
    const [length = 0] = kind === 3 ? await read(1) : [kind === 1 ? 4 : 16]
    const address = await read(length)
    const port = (await read(2)).readUInt16BE()
    const host = kind === 1 ? address.join('.') : kind === 3 ? address.toString() : address.toString('hex')
    this.asked.push(`${kind} ${host}:${port}`)
    if (this.options.reply !== undefined) return refuse(peer, [5, this.options.reply, 0, 1, 0, 0, 0, 0, 0, 0])
    const server = connect({ host, port, allowHalfOpen: true })
    this.#peers.add(server)
    server.on('error', () => peer.resetAndDestroy()).on('close', () => this.#peers.delete(server))
    peer.on('close', () => server.destroy())
    await once(server, 'connect')
    // A name for an address: an answer of another length than the usual one.
    peer.write(Buffer.from([5, 0, 0, 3, 3, 97, 46, 98, 0, 1]))
    peer.pipe(server).pipe(peer)
  }

  [Symbol.dispose](): void {
    this.#server.close()
    for (const peer of this.#peers) peer.destroy()
  }
}

function refuse(peer: Socket, words: number[]): void {
  peer.end(Buffer.from(words))
}

/** Byte by byte: who waits for more while something is left is woken at once, again and again. */
async function taken(peer: Socket, bytes: number): Promise<Buffer> {
  const heard: Buffer[] = []
  while (heard.length < bytes) {
    const one: Buffer | null = peer.read(1)
    if (one !== null) heard.push(one)
    else if (peer.readableEnded || peer.destroyed) throw new Error('it ended')
    else await once(peer, 'readable')
  }
  return Buffer.concat(heard)
}
