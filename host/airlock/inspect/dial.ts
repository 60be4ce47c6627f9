import { once } from 'node:events'
import { connect, isIP, type Socket } from 'node:net'
import { createSecureContext, type SecureContext, connect as secure, type TLSSocket } from 'node:tls'
import { within } from '@caisson/wire'
import type { Through } from '../egress.ts'
import { introduce, ProxyRefusal } from './introduction.ts'

/** For the last address, including the handshake. */
const PATIENCE_MS = 10_000
/** For each address before the last. */
const TURN_MS = 2500
const HANDSHAKE_MS = 10_000
/** Limit on attempts, however many addresses proxy and target have. */
const MAX_HOPS = 16

/** A sandbox's destination: its addresses have been checked, and no others are dialled. */
export interface Destination {
  readonly name: string | null
  readonly port: number
  readonly dial: readonly string[]
  /** The proxy to ask for them; null: they are dialled directly. */
  readonly through: Through | null
}

/** Rejects with the error of the last address. */
export async function dial({ port, dial: addresses, through }: Destination, signal: AbortSignal): Promise<Socket> {
  let failure: unknown = new Error('no address to dial')
  const hops = through === null ? addresses.map((host) => ({ host, port, target: null })) : hopsOf(through, addresses, port)
  for (const [index, { host, port, target }] of hops.entries()) {
    const patience = within(index === hops.length - 1 ? PATIENCE_MS : TURN_MS, signal)
    const socket = connect({ host, port, noDelay: true, autoSelectFamily: false })
    try {
      await once(socket, 'connect', { signal: patience })
      if (target !== null) await introduce(socket, target, through?.credentials ?? null, patience)
      return socket
    } catch (cause) {
      socket.destroy()
      signal.throwIfAborted()
      failure = cause
      // The proxy's other addresses lead to the same proxy.
      if (cause instanceof ProxyRefusal) break
    }
  }
  throw failure
}

function hopsOf({ dial, port }: Through, addresses: readonly string[], targetPort: number) {
  const all = addresses.flatMap((address) => dial.map((host) => ({ host, port, target: { address, port: targetPort } })))
  return all.slice(0, MAX_HOPS)
}

/** The roots for server certificates, loaded once, because reading them takes time. */
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

  /** TLS with the dialled peer. Rejects unless its certificate is valid for `name`, or for the address if there is no name. */
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
