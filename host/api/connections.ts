import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { MAX_CONNECTIONS } from '@caisson/wire'
import { carrierOf } from './reset.ts'

/**
 * The connections to the daemon. When all are taken, a new one replaces the one that has been without a request of an owner for longest, so that merely
 * keeping connections open excludes nobody. Such a connection always exists, because fewer requests of owners are admitted (open-requests.ts).
 */
export class Connections {
  /** Without a request of an owner, longest first. */
  readonly #quiet = new Set<Duplex>()
  /** With the number of running requests of owners. */
  readonly #busy = new Map<Duplex, number>()
  readonly #most: number

  constructor(most = MAX_CONNECTIONS) {
    this.#most = most
  }

  add(socket: Socket): void {
    if (this.#quiet.size + this.#busy.size >= this.#most) this.#dropQuietest()
    if (this.#quiet.size + this.#busy.size >= this.#most) return void socket.destroy()
    this.#quiet.add(socket)
    socket.once('close', () => {
      this.#quiet.delete(socket)
      this.#busy.delete(socket)
    })
  }

  /** Marks a request of an owner as running on this connection, until the returned function is called. */
  busy(socket: Duplex): () => void {
    const carrier = carrierOf(socket)
    if (carrier.destroyed) return () => undefined
    this.#quiet.delete(carrier)
    this.#busy.set(carrier, (this.#busy.get(carrier) ?? 0) + 1)
    return () => {
      const left = (this.#busy.get(carrier) ?? 0) - 1
      if (left > 0) this.#busy.set(carrier, left)
      // A closed connection is in neither collection.
      else if (this.#busy.delete(carrier)) this.#quiet.add(carrier)
    }
  }

  #dropQuietest(): void {
    const [quietest] = this.#quiet
    if (quietest === undefined) return
    this.#quiet.delete(quietest)
    quietest.destroy()
  }
}
