import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { mayInspect, type OperatorRange } from '@caisson/policy'
import { Fault, type Network, type NetworkFile, type NetworkRecord } from '@caisson/wire'
import { type Inspection, openInspection } from '../authority/inspection.ts'
import { unending } from '../lifetimes.ts'
import { Airlock } from './airlock.ts'
import { Canaries, type Planted } from './dlp-canaries.ts'
import { type Egress, egressOf } from './egress.ts'
import { beyond, refuseProxy } from './egress-proxy.ts'
import { HostNames } from './host-names.ts'
import { KeptAnswers } from './inspect/kept-answers.ts'
import { KeptRegistries } from './kept-registries.ts'
import { Registries } from './registries.ts'
import { Seal } from './seal.ts'
import type { Secrets } from './secrets.ts'

export interface ExitsParts {
  readonly home: string
  /** `daemon` (gates find the next daemon at the same path), or the process id of an embedded host. */
  readonly owner: string
  readonly secrets: Secrets
  /** The program of the search threads. */
  readonly searcher: string
  /** Prints one line for the operator. */
  readonly notice: (line: string) => void
  /** File with further authorities (PEM) that servers may chain to, besides this machine's; null: none. */
  readonly extraAuthorities: string | null
  readonly operatorAllowed: readonly OperatorRange[]
  /** Environment variables that configure package clients, as one text. */
  readonly clientEnvironment: string
  readonly record: (record: NetworkRecord) => void
}

type NetworkRules = Exclude<NetworkFile, { mode: 'none' }>

/** Host files with the certificates that a sandbox should trust. */
export type Trust = Pick<Inspection, 'certPath' | 'bundlePath' | 'javaPath'>

/** The airlock of one host, opened when the first sandbox needs it. */
export class Exits implements AsyncDisposable {
  /** Fixed before anybody listens, because plans name them. */
  readonly sockets: { readonly socket: string; readonly inspect: string }
  readonly #record: (record: NetworkRecord) => void
  readonly #operatorAllowed: readonly OperatorRange[]
  readonly #names = new HostNames()
  readonly #registries: KeptRegistries
  readonly #canaries: Canaries
  readonly #seal: Seal
  readonly #planted = new Map<string, readonly Planted[]>()
  readonly #secrets: Secrets
  readonly #searcher: string
  readonly #answers: KeptAnswers
  readonly #openInspection: () => Promise<Inspection>
  #inspection: Promise<Inspection> | undefined
  #opening: Promise<Airlock> | undefined
  #airlock: Airlock | undefined

  constructor({ home, owner, secrets, searcher, notice, extraAuthorities, operatorAllowed, clientEnvironment, record }: ExitsParts) {
    this.sockets = { socket: join(home, `airlock-${owner}.sock`), inspect: join(home, `airlock-${owner}-inspect.sock`) }
    this.#secrets = secrets
    this.#searcher = searcher
    this.#answers = new KeptAnswers(home, notice)
    this.#registries = new KeptRegistries(home, clientEnvironment, new Registries())
    this.#openInspection = () => openInspection(home, extraAuthorities)
    this.#operatorAllowed = operatorAllowed
    this.#record = record
    this.#canaries = new Canaries(home)
    this.#seal = new Seal(home)
  }

  /** From `network` of a request or profile; null: no network. Rejects with POLICY_INVALID naming the rule. */
  async egress(network: Network, signal: AbortSignal): Promise<Egress | null> {
    const egress = await egressOf(network, () => this.#registries.hosts(signal), this.#operatorAllowed)
    await this.#refuseUnknownSecrets(egress)
    return egress.policy.mode === 'none' ? null : egress
  }

  /**
   * The rules with the proxy's password sealed, so that nobody can read it. Rejects with POLICY_INVALID if the proxy has no address that may be dialled. If
   * that happens later, to a running sandbox, nothing gets out.
   */
  async proxied(network: NetworkRules, password: string | undefined, signal: AbortSignal): Promise<NetworkRules> {
    if (network.proxy === undefined) return network
    const sealed = password === undefined ? {} : { sealed: await this.#seal.seal(password) }
    const file = { ...network, proxy: { ...network.proxy, ...sealed } }
    const egress = await egressOf(file, async () => [], this.#operatorAllowed)
    const asked = { addresses: (name: string) => this.#names.addresses(name, '', signal), unseal: (text: string) => this.#seal.open(text) }
    const known = await beyond(egress, asked)
    if (known !== null) refuseProxy(egress, known)
    return file
  }

  /** What a sandbox with these rules must trust; null: only the usual certificates. Rejects with HOME_UNUSABLE. */
  async trust(egress: Egress | null): Promise<Trust | null> {
    if (egress === null || !mayInspect(egress.policy)) return null
    const { certPath, bundlePath, javaPath } = await this.#inspected()
    return { certPath, bundlePath, javaPath }
  }

  async #refuseUnknownSecrets({ policy }: Egress): Promise<void> {
    for (const [index, { secret }] of policy.headers.entries()) {
      if (secret === null || (await this.#secrets.value(secret)) !== undefined) continue
      throw new Fault('POLICY_INVALID', `network.credentials.${index}: no secret ${secret} is stored`, {
        hint: `Store it with \`caisson secret set ${secret}\`.`,
      })
    }
  }

  async #inspected(): Promise<Inspection> {
    this.#inspection ??= this.#openInspection()
    try {
      return await this.#inspection
    } catch (failure) {
      this.#inspection = undefined
      throw failure
    }
  }

  /** Call it before the sandbox starts. `auditBytes`: limit on its records in the log. Rejects with HOME_UNUSABLE. */
  async admit(sandbox: string, egress: Egress, auditBytes: number, signal: AbortSignal): Promise<void> {
    const airlock = await this.#open()
    signal.throwIfAborted()
    const planted = await this.#canaries.of(sandbox, egress)
    this.#planted.set(sandbox, planted)
    airlock.register(sandbox, egress, auditBytes, planted)
  }

  /** Decoy environment variables of an admitted sandbox. */
  planted(sandbox: string): Record<string, string> {
    const planted = this.#planted.get(sandbox) ?? []
    return Object.fromEntries(planted.flatMap(({ at, value }) => ('env' in at ? [[at.env, value]] : [])))
  }

  /** The same as files, by path relative to the user's home. */
  plantedFiles(sandbox: string): { readonly file: string; readonly text: string }[] {
    return (this.#planted.get(sandbox) ?? []).flatMap(({ at }) => ('file' in at ? [at] : []))
  }

  /** Replaces the rules of a running sandbox. Rejects with HOME_UNUSABLE. */
  async change(sandbox: string, egress: Egress, auditBytes: number, signal: AbortSignal): Promise<void> {
    const airlock = await this.#open()
    // A sandbox that could not be given network access when it was taken over gets it now.
    if (airlock.knows(sandbox)) airlock.replace(sandbox, egress)
    else await this.admit(sandbox, egress, auditBytes, signal)
  }

  forget(sandbox: string): void {
    this.#planted.delete(sandbox)
    this.#airlock?.forget(sandbox)
  }

  async #open(): Promise<Airlock> {
    const { sockets } = this
    const addresses = this.#names.addresses.bind(this.#names)
    const secret = (name: string) => this.#secrets.value(name)
    const unseal = (sealed: string) => this.#seal.open(sealed)
    const [answers, searcher] = [this.#answers, this.#searcher]
    this.#opening ??= Airlock.open(
      { sockets, record: this.#record, addresses, secret, unseal, answers, searcher, inspection: () => this.#inspected() },
      unending(),
    )
    try {
      this.#airlock = await this.#opening
      return this.#airlock
    } catch (failure) {
      // The next call tries again.
      this.#opening = undefined
      throw failure
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const [opened] = await Promise.allSettled([this.#opening])
    if (opened.status === 'fulfilled') await opened.value?.[Symbol.asyncDispose]()
  }
}

/** Removes sockets of embedded hosts that were killed. */
export async function sweepExits(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    const pid = Number(/^airlock-(\d+)(-inspect|-refusals)?\.sock$/.exec(name)?.[1])
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
