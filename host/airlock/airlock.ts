import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import type { Canary } from '@caisson/policy'
import { Fault, type NetworkRecord } from '@caisson/wire'
import { refuseAborted, Undos } from '../lifetimes.ts'
import type { Egress } from './egress.ts'
import { GateLine } from './gate-line.ts'
import { Guest } from './guest.ts'
import { refuseInWords } from './refusal.ts'

/** Gates, and connections that are refused in words; more are turned away. */
const MAX_PEERS = 8192

export interface AirlockParts {
  /** Where gates ask, and where they bring what is refused in words; both are made, for this user alone. */
  readonly sockets: { readonly socket: string; readonly inspect: string }
  /** On return it is in the log; throws when it is not, and then nothing is let through. */
  readonly record: (record: NetworkRecord) => void
  /** Of a name, as this machine knows it; none: it has none. Never rejects, and takes no longer than a gate waits. */
  readonly addresses: (name: string, signal: AbortSignal) => Promise<readonly string[]>
}

/** The host's side of all gates (wire/airlock.ts): says for each question of a sandbox what its rules say. Of a sandbox it was not told of: no. */
export class Airlock implements AsyncDisposable {
  readonly sockets: AirlockParts['sockets']
  readonly #parts: AirlockParts
  readonly #guests = new Map<string, Guest>()
  readonly #lines = new Set<GateLine>()
  readonly #peers = new Set<Socket>()
  readonly #over = new AbortController()
  #all = new Undos()

  private constructor(parts: AirlockParts) {
    this.#parts = parts
    this.sockets = parts.sockets
  }

  /** Rejects with HOME_UNUSABLE; then nothing of it is left. */
  static async open(parts: AirlockParts, signal: AbortSignal): Promise<Airlock> {
    refuseAborted(signal)
    const airlock = new Airlock(parts)
    await using undo = new Undos()
    const { socket, inspect } = parts.sockets
    undo.add(await airlock.#listen(socket, (peer) => airlock.#converse(peer)))
    undo.add(await airlock.#listen(inspect, (peer) => refuseInWords(peer, (...about) => airlock.#refusalOf(...about))))
    airlock.#all = undo.move()
    return airlock
  }

  /** Before it starts. `auditBytes`: how much may be written about it. `canaries`: what is planted in it. */
  register(sandbox: string, egress: Egress, auditBytes: number, canaries: readonly Canary[] = []): void {
    this.#guests.set(sandbox, new Guest({ sandbox, egress, auditBytes, canaries, write: this.#parts.record }))
  }

  /** From now on; what is no longer allowed ends. */
  replace(sandbox: string, egress: Egress): void {
    const guest = this.#guests.get(sandbox)
    if (guest === undefined) throw new Fault('NOT_FOUND', `sandbox ${sandbox} has no way out that could be changed`)
    guest.egress = egress
    for (const line of this.#of(sandbox)) line.judgeAgain(egress)
  }

  /** It has ended. */
  forget(sandbox: string): void {
    this.#guests.delete(sandbox)
    for (const line of this.#of(sandbox)) line.end()
  }

  #of(sandbox: string): GateLine[] {
    return [...this.#lines].filter((line) => line.sandbox === sandbox)
  }

  #refusalOf(sandbox: string, connection: number) {
    return this.#of(sandbox)
      .map((line) => line.refusalOf(connection))
      .find((refusal) => refusal !== undefined)
  }

  #converse(peer: Socket): void {
    const line = new GateLine(peer, {
      guest: (sandbox) => this.#guests.get(sandbox),
      addresses: (name) => this.#parts.addresses(name, this.#over.signal),
    })
    this.#lines.add(line)
    peer.on('close', () => this.#lines.delete(line))
  }

  async #listen(path: string, serve: (peer: Socket) => void): Promise<() => Promise<void>> {
    const server = createServer((peer) => {
      this.#peers.add(peer)
      peer.on('error', () => peer.destroy()).on('close', () => this.#peers.delete(peer))
      serve(peer)
    })
    server.maxConnections = MAX_PEERS
    try {
      // One that a host left which was killed.
      await rm(path, { force: true })
      await once(server.listen(path), 'listening')
      // The folder is this user's alone: nobody was faster.
      await chmod(path, 0o600)
    } catch (cause) {
      server.close()
      throw new Fault('HOME_UNUSABLE', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
    return () => this.#close(server)
  }

  async #close(server: Server): Promise<void> {
    const closed = once(server, 'close')
    server.close()
    for (const peer of this.#peers) peer.destroy()
    await closed
  }

  /** All that it let through ends within a second; what is asked from then on is answered no by the gates themselves. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort()
    await this.#all[Symbol.asyncDispose]()
  }
}
