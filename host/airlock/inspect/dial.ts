import { once } from 'node:events'
import { connect, isIP, type Socket } from 'node:net'
import { createSecureContext, type SecureContext, connect as secure, type TLSSocket } from 'node:tls'
import { within } from '@caisson/wire'

/** For the last address that is dialled, and for the handshake after it. */
const PATIENCE_MS = 10_000
/** For those before. */
const TURN_MS = 2500
const HANDSHAKE_MS = 10_000

/** Where one sandbox goes: the addresses have been checked, and no others are dialled. */
export interface Destination {
  readonly name: string | null
  readonly port: number
  readonly dial: readonly string[]
}

/** Rejects with the last address' failure. */
export async function dial({ port, dial: addresses }: Destination, signal: AbortSignal): Promise<Socket> {
  let failure: unknown = new Error('no address to dial')
  for (const [index, address] of addresses.entries()) {
    const patience = index === addresses.length - 1 ? PATIENCE_MS : TURN_MS
    const socket = connect({ host: address, port, noDelay: true, autoSelectFamily: false })
    try {
      await once(socket, 'connect', { signal: within(patience, signal) })
      return socket
    } catch (cause) {
      socket.destroy()
      signal.throwIfAborted()
      failure = cause
    }
  }
  throw failure
}

/** What a server's certificate must rest on; made once: reading the authorities takes a while. */
export class ServerTrust {
  readonly #authorities: () => Promise<readonly string[]>
  #context: Promise<SecureContext> | undefined

  /** PEM. */
  constructor(authorities: () => Promise<readonly string[]>) {
    this.#authorities = authorities
  }

  async #made(): Promise<SecureContext> {
    this.#context ??= this.#authorities().then((ca) => createSecureContext({ ca: [...ca] }))
    try {
      return await this.#context
    } catch (failure) {
      this.#context = undefined
      throw failure
    }
  }

  /** TLS with whoever it is that was dialled. Rejects unless its certificate is good for `name`, or for the address where there is no name. */
  async secured(
    socket: Socket,
    { name, address, protocols, session }: { name: string | null; address: string; protocols: string[]; session: Buffer | undefined },
    signal: AbortSignal,
  ): Promise<TLSSocket> {
    const secureContext = await this.#made()
    const secured = secure({
      socket,
      secureContext,
      ALPNProtocols: protocols,
      host: name ?? address,
      ...(name === null || isIP(name) !== 0 ? {} : { servername: name }),
      ...(session === undefined ? {} : { session }),
    })
    try {
      await once(secured, 'secureConnect', { signal: within(HANDSHAKE_MS, signal) })
      return secured
    } catch (cause) {
      secured.destroy()
      throw cause
    }
  }
}
