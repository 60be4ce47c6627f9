import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

/** A server of the host's that remembers what reached it. */
export class Canary implements Disposable {
  readonly port: number
  connections = 0
  bytes = 0
  readonly #server: Server
  readonly #peers: Set<Socket>

  private constructor(server: Server, peers: Set<Socket>) {
    this.#server = server
    this.#peers = peers
    this.port = (server.address() as AddressInfo).port
  }

  static async open(serve: (peer: Socket) => void, host = '127.0.0.1'): Promise<Canary> {
    const peers = new Set<Socket>()
    let canary: Canary | undefined
    const server = createServer({ allowHalfOpen: true }, (peer) => {
      peers.add(peer)
      if (canary !== undefined) canary.connections += 1
      peer.on('error', () => peer.destroy()).on('close', () => peers.delete(peer))
      peer.on('data', (bytes) => {
        if (canary !== undefined) canary.bytes += bytes.length
      })
      serve(peer)
    }).listen(0, host)
    await once(server, 'listening')
    canary = new Canary(server, peers)
    return canary
  }

  get live(): number {
    return this.#peers.size
  }

  [Symbol.dispose](): void {
    this.#server.close()
    for (const peer of this.#peers) peer.destroy()
  }
}

/** Says back what it hears, and ends when it has heard all. */
export function echo(peer: Socket): void {
  peer.pipe(peer)
}
