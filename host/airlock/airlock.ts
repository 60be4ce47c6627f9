import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import type { Canary } from '@caisson/policy'
import { Fault, type NetworkRecord } from '@caisson/wire'
import type { Inspection } from '../authority/inspection.ts'
import { refuseAborted, Undos } from '../lifetimes.ts'
import { type Named, readNamed } from './brought.ts'
import type { Egress } from './egress.ts'
import { GateLine } from './gate-line.ts'
import { Guest } from './guest.ts'
import { ServerTrust } from './inspect/dial.ts'
import type { Inspected } from './inspect/inspected.ts'
import { Inspector } from './inspect/inspector.ts'
import type { KeptAnswers } from './inspect/kept-answers.ts'
import { Leaves } from './inspect/leaves.ts'
import { refuseInWords } from './refusal.ts'
import { Searchers } from './search/searchers.ts'

/** Limit on concurrent gates and on connections refused with a readable answer; further ones are rejected. */
const MAX_PEERS = 8192
/** Per sandbox, because each has its own buffers and keys. */
const MAX_INSPECTED = 512

export interface AirlockParts {
  /** The sockets where gates ask, and to which they bring connections to be inspected or refused readably. Both are created, for this user only. */
  readonly sockets: { readonly socket: string; readonly inspect: string }
  /** On return the record is in the log. Throws if it could not be written; then nothing is allowed. */
  readonly record: (record: NetworkRecord) => void
  /** This machine's addresses of a name; empty if it has none. Never rejects, and takes less time than a gate waits. */
  readonly addresses: (name: string, sandbox: string, signal: AbortSignal) => Promise<readonly string[]>
  /** A stored secret of the operator; undefined: no such secret. */
  readonly secret: (name: string) => Promise<string | undefined>
  /** Decrypts a value sealed by this installation; undefined: it was not. */
  readonly unseal: (sealed: string) => Promise<string | undefined>
  /** Cached answers of package registries. */
  readonly answers: KeptAnswers
  /** The program of the search threads. */
  readonly searcher: string
  /** Limit on concurrently inspected connections of one sandbox; absent: 512. */
  readonly maxInspected?: number
  /** Created when the first connection is inspected. */
  readonly inspection: () => Promise<Pick<Inspection, 'authority' | 'serverAuthorities'>>
}

/** The host's end of all gates (wire/airlock.ts): decides each question of a sandbox by its rules. Questions of unknown sandboxes are denied. */
export class Airlock implements AsyncDisposable {
  readonly sockets: AirlockParts['sockets']
  readonly #parts: AirlockParts
  readonly #guests = new Map<string, Guest>()
  readonly #lines = new Set<GateLine>()
  readonly #peers = new Set<Socket>()
  readonly #over = new AbortController()
  /** Created at the first inspected connection: most sandboxes have none, and loading `node:http` takes time. */
  #inspector: Inspector | undefined
  readonly #searchers: Searchers
  /** Inspected connections, by sandbox. */
  readonly #inspected = new Map<string, number>()
  #all = new Undos()

  private constructor(parts: AirlockParts) {
    this.#parts = parts
    this.sockets = parts.sockets
    this.#searchers = new Searchers(parts.searcher)
  }

  /** Rejects with HOME_UNUSABLE, leaving nothing behind. */
  static async open(parts: AirlockParts, signal: AbortSignal): Promise<Airlock> {
    refuseAborted(signal)
    const airlock = new Airlock(parts)
    await using undo = new Undos()
    const { socket, inspect } = parts.sockets
    undo.add(await airlock.#listen(socket, {}, (peer) => airlock.#converse(peer)))
    undo.add(await airlock.#listen(inspect, { allowHalfOpen: true }, (peer) => readNamed(peer, (named) => airlock.#serve(peer, named))))
    airlock.#all = undo.move()
    return airlock
  }

  /** Call it before the sandbox starts. `auditBytes`: limit on its records in the log. `canaries`: the decoys planted in it. */
  register(sandbox: string, egress: Egress, auditBytes: number, canaries: readonly Canary[] = []): void {
    const [write, searchers] = [this.#parts.record, this.#searchers]
    this.#guests.set(sandbox, new Guest({ sandbox, egress, auditBytes, canaries, write, searchers }))
  }

  knows(sandbox: string): boolean {
    return this.#guests.has(sandbox)
  }

  /** Applies from now on; connections that are no longer allowed end. */
  replace(sandbox: string, egress: Egress): void {
    const guest = this.#guests.get(sandbox)
    if (guest === undefined) throw new Fault('NOT_FOUND', `sandbox ${sandbox} has no way out that could be changed`)
    guest.egress = egress
    this.#inspector?.forget(sandbox)
    for (const line of this.#of(sandbox)) line.judgeAgain(egress)
  }

  /** Call it when the sandbox has ended. */
  forget(sandbox: string): void {
    this.#guests.get(sandbox)?.recordAll()
    this.#guests.delete(sandbox)
    this.#inspector?.forget(sandbox)
    for (const line of this.#of(sandbox)) line.end()
  }

  #of(sandbox: string): GateLine[] {
    return [...this.#lines].filter((line) => line.sandbox === sandbox)
  }

  /** Serves a connection that a gate brings: refuses it readably, or inspects it. */
  #serve(peer: Socket, { sandbox, connection }: Named): void {
    for (const line of this.#of(sandbox)) {
      const refusal = line.refusalOf(connection)
      if (refusal !== undefined) return refuseInWords(peer, sandbox, refusal)
      const inspected = line.inspected(connection)
      if (inspected !== undefined) return this.#inspect(peer, inspected)
    }
    peer.destroy()
  }

  #inspect(peer: Socket, inspected: Inspected): void {
    const { sandbox } = inspected
    const count = (this.#inspected.get(sandbox) ?? 0) + 1
    const { maxInspected = MAX_INSPECTED } = this.#parts
    if (count > maxInspected) {
      inspected.refuse(null, 'inspect', `more than ${maxInspected} of its connections are looked into at once`)
      return inspected.reset()
    }
    this.#inspected.set(sandbox, count)
    peer.on('close', () => {
      const left = (this.#inspected.get(sandbox) ?? 1) - 1
      if (left > 0) this.#inspected.set(sandbox, left)
      else this.#inspected.delete(sandbox)
    })
    this.#inspector ??= new Inspector({
      leaves: new Leaves(async () => (await this.#parts.inspection()).authority),
      trust: new ServerTrust(async () => (await this.#parts.inspection()).serverAuthorities),
    })
    this.#inspector.serve(peer, inspected)
  }

  #converse(peer: Socket): void {
    const line = new GateLine(peer, {
      guest: (sandbox) => this.#guests.get(sandbox),
      addresses: (name, sandbox) => this.#parts.addresses(name, sandbox, this.#over.signal),
      secret: this.#parts.secret,
      unseal: this.#parts.unseal,
      answers: this.#parts.answers,
    })
    this.#lines.add(line)
    peer.on('close', () => this.#lines.delete(line))
  }

  async #listen(path: string, options: { allowHalfOpen?: boolean }, serve: (peer: Socket) => void): Promise<() => Promise<void>> {
    const server = createServer(options, (peer) => {
      this.#peers.add(peer)
      peer.on('error', () => peer.destroy()).on('close', () => this.#peers.delete(peer))
      serve(peer)
    })
    server.maxConnections = MAX_PEERS
    try {
      // A socket left by a host that was killed.
      await rm(path, { force: true })
      await once(server.listen(path), 'listening')
      // The folder belongs to this user alone, so nobody could connect before this.
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

  /** Ends everything that was allowed within a second; the gates themselves answer no from then on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort()
    this.#inspector?.[Symbol.dispose]()
    await this.#searchers[Symbol.asyncDispose]()
    await this.#all[Symbol.asyncDispose]()
    for (const guest of this.#guests.values()) guest.recordAll()
  }
}
