import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { MAX_CONNECTIONS } from '@caisson/wire'
import { carrierOf } from './reset.ts'

/**
 * The connections to the daemon. When all are taken, a new one has the place of the one on which nobody who is known here has had anything under way for
 * longest: whoever only keeps connections open keeps nobody out. There is such a one, since fewer requests of owners are let in (open-requests.ts).
 */
export class Connections {
  /** In the order in which they fell quiet. */
  readonly #quiet = new Set<Duplex>()
  /** With how many requests of owners. */
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

  /** A request of an owner is under way on it, until the result is called. */
  busy(socket: Duplex): () => void {
    const carrier = carrierOf(socket)
    if (carrier.destroyed) return () => undefined
    this.#quiet.delete(carrier)
    this.#busy.set(carrier, (this.#busy.get(carrier) ?? 0) + 1)
    return () => {
      const left = (this.#busy.get(carrier) ?? 0) - 1
      if (left > 0) this.#busy.set(carrier, left)
      // One that has closed is in neither.
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
