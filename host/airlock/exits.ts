import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { OperatorRange } from '@caisson/policy'
import type { Network, NetworkRecord } from '@caisson/wire'
import { unending } from '../lifetimes.ts'
import { Airlock } from './airlock.ts'
import { Canaries, type Planted } from './dlp-canaries.ts'
import { type Egress, egressOf } from './egress.ts'
import { HostNames } from './host-names.ts'
import { Registries } from './registries.ts'

/** The airlock of one host, opened when the first of its sandboxes needs it. */
export class Exits implements AsyncDisposable {
  /** Known before there is anybody to listen: plans name them. */
  readonly sockets: { readonly socket: string; readonly inspect: string }
  readonly #record: (record: NetworkRecord) => void
  readonly #operatorAllowed: readonly OperatorRange[]
  readonly #names = new HostNames()
  readonly #registries = new Registries()
  readonly #canaries: Canaries
  readonly #planted = new Map<string, readonly Planted[]>()
  #opening: Promise<Airlock> | undefined
  #airlock: Airlock | undefined

  /** `owner`: `daemon`, whose gates find the next daemon at the same place, or the process id of an embedded host. */
  constructor(home: string, owner: string, operatorAllowed: readonly OperatorRange[], record: (record: NetworkRecord) => void) {
    this.#operatorAllowed = operatorAllowed
    this.sockets = { socket: join(home, `airlock-${owner}.sock`), inspect: join(home, `airlock-${owner}-refusals.sock`) }
    this.#record = record
    this.#canaries = new Canaries(home)
  }

  /** Of `network` as a request or a profile has it; null: nothing may be reached. Rejects with POLICY_INVALID naming the rule. */
  async egress(network: Network, signal: AbortSignal): Promise<Egress | null> {
    const egress = await egressOf(network, () => this.#registries.hosts(signal), this.#operatorAllowed)
    return egress.policy.mode === 'none' ? null : egress
  }

  /** Before it starts. `auditBytes`: how much may be written about it. Rejects with HOME_UNUSABLE. */
  async admit(sandbox: string, egress: Egress, auditBytes: number, signal: AbortSignal): Promise<void> {
    const airlock = await this.#open()
    signal.throwIfAborted()
    const planted = await this.#canaries.of(sandbox, egress)
    this.#planted.set(sandbox, planted)
    airlock.register(sandbox, egress, auditBytes, planted)
  }

  /** What an admitted sandbox has in its environment, for nobody to use. */
  planted(sandbox: string): Record<string, string> {
    return Object.fromEntries((this.#planted.get(sandbox) ?? []).map(({ env, value }) => [env, value]))
  }

  forget(sandbox: string): void {
    this.#planted.delete(sandbox)
    this.#airlock?.forget(sandbox)
  }

  async #open(): Promise<Airlock> {
    const { sockets } = this
    const addresses = (name: string, signal: AbortSignal) => this.#names.addresses(name, signal)
    this.#opening ??= Airlock.open({ sockets, record: this.#record, addresses }, unending())
    try {
      this.#airlock = await this.#opening
      return this.#airlock
    } catch (failure) {
      // The next one tries again.
      this.#opening = undefined
      throw failure
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const [opened] = await Promise.allSettled([this.#opening])
    if (opened.status === 'fulfilled') await opened.value?.[Symbol.asyncDispose]()
  }
}

/** Sockets of embedded hosts that were killed. */
export async function sweepExits(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    const pid = Number(/^airlock-(\d+)(-refusals)?\.sock$/.exec(name)?.[1])
    if (Number.isInteger(pid) && !isAlive(pid)) await rm(join(home, name), { force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
