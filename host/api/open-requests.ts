import type { Duplex } from 'node:stream'
import { MAX_SANDBOX_REQUESTS } from '@caisson/wire'
import type { Entered } from '../sandbox/fleet.ts'
import { resetConnection } from './reset.ts'

/** Running requests by sandbox: limited in number, and broken off when the sandbox is paused or ends. */
export class OpenRequests {
  readonly #counts = new Map<string, number>()

  /** Returns the function that ends the request; undefined: there are too many. */
  admit(entered: Entered, socket: Duplex): (() => void) | undefined {
    const { id } = entered.record
    const count = this.#counts.get(id) ?? 0
    if (count >= MAX_SANDBOX_REQUESTS) return undefined
    this.#counts.set(id, count + 1)
    const stop = entered.onLeave(() => resetConnection(socket))
    return () => {
      stop()
      const left = (this.#counts.get(id) ?? 1) - 1
      if (left === 0) this.#counts.delete(id)
      else this.#counts.set(id, left)
    }
  }
}
