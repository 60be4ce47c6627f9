import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type GateAnswer, GateRequest } from '../../wire/airlock.ts'

type Asked<Kind extends GateRequest['ask']> = Extract<GateRequest, { ask: Kind }>
export type Verdict = Pick<Extract<GateAnswer, { answer: 'connect' }>, 'verdict'> & { dial?: string[] }

/** null: no answer at all. */
export interface Rules {
  name: (question: Asked<'name'>) => boolean | null
  connect: (question: Asked<'connect'>) => Verdict | null
  /** What the host does with a connection that it looks into, or refuses in words. */
  inspect: (peer: Socket, connection: number) => void
}

/** The host's side of a gate, decided by functions. Everything that it was asked passes the schema, or the spec fails. */
export class FakeAirlock implements AsyncDisposable {
  readonly paths: { socket: string; inspect: string }
  readonly asked: GateRequest[] = []
  readonly rules: Rules = {
    name: () => false,
    connect: () => ({ verdict: 'deny' }),
    inspect: (peer) => peer.destroy(),
  }
  readonly #peers = new Set<Socket>()
  #servers: Server[] = []

  private constructor(dir: string) {
    this.paths = { socket: join(dir, 'airlock.sock'), inspect: join(dir, 'inspect.sock') }
  }

  static async open(dir: string): Promise<FakeAirlock> {
    const airlock = new FakeAirlock(dir)
    await airlock.start()
    return airlock
  }

  async start(): Promise<void> {
    const asking = createServer((peer) => this.#converse(peer))
    const inspecting = createServer((peer) => this.#inspect(peer))
    this.#servers = [asking, inspecting]
    await Promise.all([once(asking.listen(this.paths.socket), 'listening'), once(inspecting.listen(this.paths.inspect), 'listening')])
  }

  /** As if it had been killed: the gates' connections end, and nobody listens. */
  async stop(): Promise<void> {
    for (const server of this.#servers) server.close()
    for (const peer of this.#peers) peer.destroy()
    await Promise.all(Object.values(this.paths).map((path) => rm(path, { force: true })))
  }

  of<Kind extends GateRequest['ask']>(kind: Kind): Asked<Kind>[] {
    return this.asked.filter((one): one is Asked<Kind> => one.ask === kind)
  }

  say(answer: GateAnswer): void {
    for (const peer of this.#peers) peer.write(`${JSON.stringify(answer)}\n`)
  }

  /** To every gate, as it stands there. */
  sayRaw(line: string): void {
    for (const peer of this.#peers) peer.write(line)
  }

  #converse(peer: Socket): void {
    this.#keep(peer)
    const lines = createInterface({ input: peer })
    // It says again what the socket says.
    lines.on('error', () => peer.destroy())
    lines.on('line', (line) => {
      const asked = GateRequest.parse(JSON.parse(line))
      this.asked.push(asked)
      const answer = this.#answer(asked)
      if (answer !== null) peer.write(`${JSON.stringify(answer)}\n`)
    })
  }

  #answer(asked: GateRequest): GateAnswer | null {
    if (asked.ask === 'name') {
      const allowed = this.rules.name(asked)
      return allowed === null ? null : { answer: 'name', seq: asked.seq, allowed }
    }
    if (asked.ask !== 'connect') return null
    const verdict = this.rules.connect(asked)
    return verdict === null ? null : { answer: 'connect', seq: asked.seq, verdict: verdict.verdict, dial: verdict.dial ?? [] }
  }

  #inspect(peer: Socket): void {
    this.#keep(peer)
    let head = Buffer.alloc(0)
    const read = (bytes: Buffer): void => {
      head = Buffer.concat([head, bytes])
      const end = head.indexOf('\n')
      if (end < 0) return
      peer.off('data', read).pause()
      if (end + 1 < head.length) peer.unshift(head.subarray(end + 1))
      const { connection } = JSON.parse(head.subarray(0, end).toString()) as { connection: number }
      this.rules.inspect(peer, connection)
      peer.resume()
    }
    peer.on('data', read)
  }

  #keep(peer: Socket): void {
    this.#peers.add(peer)
    peer.on('error', () => peer.destroy()).on('close', () => this.#peers.delete(peer))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
