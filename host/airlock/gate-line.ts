import type { Socket } from 'node:net'
import { decideName, type NameVerdict } from '@caisson/policy'
import { type GateAnswer, GateRequest } from '@caisson/wire'
import { decideAgain } from './decided.ts'
import type { Budgets } from './dlp-budgets.ts'
import { type Decision, decide, type Egress, replayed } from './egress.ts'
import { type Beyond, beyond, byProxy, isSameProxy } from './egress-proxy.ts'
import type { Guest } from './guest.ts'
import type { KeptAnswers } from './inspect/kept-answers.ts'
import { InspectedConnection } from './inspected-connection.ts'
import type { Refused } from './refusal.ts'

/** Longest question. */
const MAX_LINE_BYTES = 8 * 1024
const NEWLINE = 0x0a
const NOTHING = Buffer.alloc(0)
/** Concurrent questions; further ones are denied at once. */
const MAX_ASKING = 1024
/** More than a plan allows (wire/plan.ts): a gate that claims more is lying. */
const MAX_CONNECTIONS = 8192
/** Refused connections that may still ask for a readable answer; the gate does not report their end. */
const MAX_REFUSED = 4096
/** Answers that the gate has not read. */
const MAX_UNREAD_BYTES = 1024 * 1024

type Asked<Kind extends GateRequest['ask']> = Extract<GateRequest, { ask: Kind }>

interface Connection {
  readonly asked: Asked<'connect'>
  readonly addresses: readonly string[]
  readonly decision: Decision
  /** The rules that allowed it. */
  egress: Egress
  /** Bytes lent from a budget; null: it has no budget. */
  lentBytes: number | null
}

export interface GateHouse {
  guest(sandbox: string): Guest | undefined
  addresses(name: string, sandbox: string): Promise<readonly string[]>
  secret(name: string): Promise<string | undefined>
  unseal(sealed: string): Promise<string | undefined>
  readonly answers: KeptAnswers
}

/** The conversation with one sandbox's gate. A violation of the protocol ends it, and with it everything that the gate lets through. */
export class GateLine {
  readonly #peer: Socket
  readonly #house: GateHouse
  readonly #connections = new Map<number, Connection>()
  readonly #refused = new Map<number, Refused>()
  /** Connections being decided, with the message about their end if it came meanwhile. */
  readonly #undecided = new Map<number, Asked<'closed'> | null>()
  #sandbox: string | undefined
  #begun: Buffer = NOTHING
  #asking = 0

  constructor(peer: Socket, house: GateHouse) {
    this.#peer = peer
    this.#house = house
    peer.on('data', (bytes: Buffer) => this.#hear(bytes))
  }

  get sandbox(): string | undefined {
    return this.#sandbox
  }

  /** Why a recent connection was refused. */
  refusalOf(connection: number): Refused | undefined {
    return this.#refused.get(connection)
  }

  /** A connection allowed for inspection. Undefined: there is none with that number. */
  inspected(connection: number): InspectedConnection | undefined {
    const [known, sandbox] = [this.#connections.get(connection), this.#sandbox]
    if (known?.decision.verdict !== 'inspect' || sandbox === undefined) return undefined
    const { asked, addresses } = known
    return new InspectedConnection({
      sandbox,
      asked,
      addresses,
      guest: () => this.#house.guest(sandbox),
      lookUp: (name) => this.#addresses(name, sandbox),
      secret: (name) => this.#house.secret(name),
      beyond: (egress) => this.#beyond(egress, sandbox),
      answers: this.#house.answers,
      reset: () => this.#say({ answer: 'end', connections: [connection] }),
    })
  }

  end(): void {
    this.#peer.destroy()
  }

  /** Ends what is no longer allowed. */
  judgeAgain(egress: Egress): void {
    const ending: number[] = []
    for (const [number, connection] of this.#connections) {
      if (this.#mayStay(connection, egress)) connection.egress = egress
      else ending.push(number)
    }
    if (ending.length > 0) this.#say({ answer: 'end', connections: ending })
  }

  #mayStay({ asked, addresses, decision, egress: before, lentBytes }: Connection, egress: Egress): boolean {
    const now = readable(asked, decide(egress, asked, addresses))
    const isWatched = now.verdict === 'tunnel' && this.#budgets()?.has(asked) === true
    return (
      now.verdict === decision.verdict &&
      decision.dial.every((address) => now.dial.includes(address)) &&
      isSameProxy(before.policy.proxy, egress.policy.proxy) &&
      isWatched === (lentBytes !== null)
    )
  }

  #hear(bytes: Buffer): void {
    let rest = this.#begun.length === 0 ? bytes : Buffer.concat([this.#begun, bytes])
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      const asked = end > MAX_LINE_BYTES ? undefined : parsed(rest.subarray(0, end))
      if (asked === undefined || !this.#answer(asked)) return this.end()
      rest = rest.subarray(end + 1)
    }
    if (rest.length > MAX_LINE_BYTES) return this.end()
    this.#begun = rest.length === 0 ? NOTHING : Buffer.from(rest)
  }

  /** False: the gate may not send this here. */
  #answer(asked: GateRequest): boolean {
    if (asked.ask === 'hello') {
      if (this.#sandbox !== undefined) return false
      this.#sandbox = asked.sandbox
      return true
    }
    const sandbox = this.#sandbox
    if (sandbox === undefined) return false
    if (asked.ask === 'name' || asked.ask === 'connect') {
      if (this.#connections.size + this.#undecided.size >= MAX_CONNECTIONS) return false
      if (asked.ask === 'connect') {
        if (this.#connections.has(asked.connection) || this.#undecided.has(asked.connection)) return false
        this.#undecided.set(asked.connection, null)
      }
      void this.#decide(asked, sandbox).catch(() => this.end())
      return true
    }
    if (asked.ask === 'more') this.#lend(asked)
    else this.#told(asked, sandbox)
    return true
  }

  #told(told: Asked<'closed'> | Asked<'moved'> | Asked<'refused'>, sandbox: string): void {
    const guest = this.#house.guest(sandbox)
    if (told.ask === 'closed') {
      if (this.#undecided.has(told.connection)) return void this.#undecided.set(told.connection, told)
      const { ask: _, ...said } = told
      const closed = this.#connections.get(told.connection)
      this.#connections.delete(told.connection)
      if (closed !== undefined) this.#budgets()?.giveBack(closed.asked, Math.max(0, (closed.lentBytes ?? 0) - told.bytesOut))
      guest?.recordedSoon({ kind: 'network-end', sandbox, ...said })
    } else if (told.ask === 'moved') {
      const { ask: _, ...said } = told
      // Without a record, it must not continue.
      const isRecorded = guest?.recorded({ kind: 'network-moved', sandbox, ...said }) === true
      if (!isRecorded) this.#say({ answer: 'end', connections: [told.connection] })
    } else {
      const { ask: _, ...said } = told
      guest?.recorded({ kind: 'network-refused', sandbox, ...said })
    }
  }

  /** A tunnel has used up its lent bytes. */
  #lend({ seq, connection: number }: Asked<'more'>): void {
    const connection = this.#connections.get(number)
    const lent = connection === undefined ? 0 : (this.#budgets()?.lend(connection.asked) ?? 0)
    if (connection !== undefined) connection.lentBytes = (connection.lentBytes ?? 0) + lent
    this.#say({ answer: 'more', seq, most: lent })
  }

  #budgets(): Budgets | undefined {
    return this.#sandbox === undefined ? undefined : this.#house.guest(this.#sandbox)?.outflow?.budgets
  }

  /** Resolves the name first. Then decides by the state at that moment, records and answers in one step. */
  async #decide(asked: Asked<'name'> | Asked<'connect'>, sandbox: string): Promise<void> {
    const isCrowd = this.#asking >= MAX_ASKING
    this.#asking += 1
    try {
      const egress = isCrowd ? undefined : this.#house.guest(sandbox)?.egress
      const [addresses, known] = await Promise.all([
        isCrowd ? [] : this.#addresses(asked.name, sandbox),
        egress === undefined || asked.ask === 'name' ? null : this.#beyond(egress, sandbox),
      ])
      const guest = this.#house.guest(sandbox)
      if (asked.ask === 'name') this.#say({ answer: 'name', seq: asked.seq, allowed: isNamed(asked, addresses, sandbox, guest) })
      else this.#connect(asked, { addresses, known }, sandbox, guest)
    } finally {
      this.#asking -= 1
      if (asked.ask === 'connect') this.#decided(asked.connection, sandbox)
    }
  }

  /** If the connection ended while it was being decided, it ends now. */
  #decided(connection: number, sandbox: string): void {
    const closed = this.#undecided.get(connection) ?? null
    this.#undecided.delete(connection)
    if (closed !== null && this.#connections.has(connection)) this.#told(closed, sandbox)
  }

  /** Names that the sandbox may not query are never looked up. */
  async #addresses(name: string | null, sandbox: string): Promise<readonly string[]> {
    const guest = this.#house.guest(sandbox)
    if (name === null || guest === undefined || !weighName(guest, name).allowed) return []
    return replayed(guest.egress, name) ?? (await this.#house.addresses(name, sandbox))
  }

  #beyond(egress: Egress, sandbox: string): Promise<Beyond | null> {
    return beyond(egress, { addresses: (name) => this.#house.addresses(name, sandbox), unseal: (sealed) => this.#house.unseal(sealed) })
  }

  #connect(
    asked: Asked<'connect'>,
    { addresses, known }: { addresses: readonly string[]; known: Beyond | null },
    sandbox: string,
    guest: Guest | undefined,
  ): void {
    const { seq, connection, address, port, way } = asked
    if (guest === undefined) return this.#say({ answer: 'connect', seq, verdict: 'deny', dial: [] })
    const decided = refusedName(asked, guest) ?? byProxy(decideAgain(guest.egress, asked, addresses), guest.egress, known)
    const decision = readable(asked, withinBudget(decided, asked, guest))
    const name = asked.name === null ? null : (guest.names?.told(asked.name) ?? asked.name)
    const { verdict, rule, reason, wouldAllow, dial, through } = decision
    const about = { sandbox, connection, name, address, port, way, rule, reason, wouldAllow }
    if (!guest.recorded({ kind: 'network', ...about, verdict })) return this.#say({ answer: 'connect', seq, verdict: 'deny', dial: [] })
    const lentBytes = verdict === 'tunnel' ? (guest.outflow?.budgets.lend(asked) ?? null) : null
    if (verdict === 'tunnel' || verdict === 'inspect') {
      this.#connections.set(connection, { asked, addresses, decision, egress: guest.egress, lentBytes })
    }
    if (verdict === 'refuse') this.#refuse(connection, { way, decision })
    const proxy = verdict === 'tunnel' && through ? { proxy: through } : {}
    this.#say({ answer: 'connect', seq, verdict, dial: [...dial], ...proxy, ...(lentBytes === null ? {} : { most: lentBytes }) })
  }

  #refuse(connection: number, refusal: Refused): void {
    this.#refused.set(connection, refusal)
    const [oldest] = this.#refused.keys()
    if (this.#refused.size > MAX_REFUSED && oldest !== undefined) this.#refused.delete(oldest)
  }

  #say(answer: GateAnswer): void {
    if (this.#peer.destroyed) return
    if (this.#peer.writableLength > MAX_UNREAD_BYTES) return this.end()
    this.#peer.write(`${JSON.stringify(answer)}\n`)
  }
}

/** The policy's verdict on a name, and DLP's verdict on it as outgoing data: the domain's name server sees it. */
function weighName({ egress, names }: Guest, name: string): Pick<NameVerdict, 'allowed' | 'rule' | 'reason' | 'wouldAllow'> {
  const said = decideName(egress.policy, name)
  const ground = said.allowed ? (names?.weigh(name) ?? null) : null
  return ground === null ? said : { allowed: false, ...ground, wouldAllow: null }
}

/** Null: there is no name, or DLP does not object to it. */
function refusedName({ name }: Asked<'connect'>, guest: Guest): Decision | null {
  const ground = name === null || !decideName(guest.egress.policy, name).allowed ? null : (guest.names?.weigh(name) ?? null)
  return ground === null ? null : { verdict: 'deny', dial: [], ...ground, wouldAllow: null }
}

/** Denies a tunnel to a destination whose budget is exhausted. */
function withinBudget(decision: Decision, asked: Asked<'connect'>, { outflow }: Guest): Decision {
  const ground = decision.verdict === 'tunnel' ? (outflow?.budgets.exhausted(asked) ?? null) : null
  return ground === null ? decision : { verdict: 'deny', dial: [], ...ground, wouldAllow: null }
}

function isNamed({ name }: Asked<'name'>, addresses: readonly string[], sandbox: string, guest: Guest | undefined): boolean {
  if (guest === undefined) return false
  const { allowed, ...said } = weighName(guest, name)
  const isLost = allowed && addresses.length === 0
  const { rule, reason, wouldAllow } = isLost
    ? { rule: 'unresolved', reason: `${name} has no address on this machine`, wouldAllow: null }
    : said
  const told = guest.names?.told(name) ?? name
  const about = { sandbox, connection: null, name: told, address: null, port: null, way: 'dns', rule, reason, wouldAllow } as const
  const mayAsk = allowed && !isLost
  return guest.recorded({ kind: 'network', ...about, verdict: mayAsk ? 'allow' : 'deny' }) && mayAsk
}

/** Refuses readably, in case the program speaks plain HTTP. Requests to the HTTP proxy may each go to a different server. */
function readable({ way }: Asked<'connect'>, decision: Decision): Decision {
  if (way === 'http-proxy' && decision.verdict === 'tunnel') return { ...decision, verdict: 'inspect' }
  return decision.verdict === 'deny' && way !== 'socks5' ? { ...decision, verdict: 'refuse' } : decision
}

function parsed(line: Buffer): GateRequest | undefined {
  try {
    return GateRequest.parse(JSON.parse(line.toString()))
  } catch {
    return undefined
  }
}
