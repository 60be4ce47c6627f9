import { join, resolve } from 'node:path'
import { Airlock } from '../../host/airlock/airlock.ts'
import type { Egress } from '../../host/airlock/egress.ts'
import { KeptAnswers } from '../../host/airlock/inspect/kept-answers.ts'
import type { AuditLog } from '../../host/audit/log.ts'
import { type Inspection, openInspection } from '../../host/authority/inspection.ts'
import { trustVariables } from '../../host/sandbox/trust.ts'
import type { Cell } from '../../host/walls/wall.ts'
import { readOperatorRanges, readPolicy } from '../../policy/index.ts'
import type { Bind, NetworkFile, NetworkRecord, Plan, WallName } from '../../wire/index.ts'
import { Cells, Inside } from '../walls/cells.ts'
import { pythonProgram } from './gated.ts'

const signal = new AbortController().signal
const AUDIT_BYTES = 1024 * 1024

/** Rules of whoever made the sandbox; the operator names addresses, so that a server of a spec's own may be reached. */
export function rules(allow: string[], named: string[] = ['127.0.0.1']): Egress {
  const file = { mode: 'allow', allow } as const
  return { file, policy: readPolicy(file, 'spec'), operatorAllowed: readOperatorRanges(named, 'spec'), configured: [] }
}

/** The same, all of it looked into. */
export function inspecting(more: Omit<Extract<NetworkFile, { mode: 'allow' | 'open' }>, 'mode'>, named: string[] = ['127.0.0.1']): Egress {
  const file = { mode: 'allow', inspect: true, ...more } as const
  return { file, policy: readPolicy(file, 'spec'), operatorAllowed: readOperatorRanges(named, 'spec'), configured: [] }
}

export const everything: Egress = {
  file: { mode: 'open' },
  policy: readPolicy({ mode: 'open' }, 'spec'),
  operatorAllowed: [],
  configured: [],
}

/** A sandbox behind a gate, and the host's airlock as it is; only names are what a spec says they are. */
export class Hosted implements AsyncDisposable {
  readonly id: string
  readonly records: NetworkRecord[] = []
  /** Of names; the others have none. */
  names: Record<string, string[]> = { 'good.example': ['127.0.0.1'], 'other.example': ['127.0.0.1'] }
  /** What whoever runs the host was told. */
  readonly notices: string[] = []
  /** Connections that are looked into at once; what a spec can fill. */
  maxInspected: number | undefined
  /** Asked of the resolver. */
  readonly lookedUp: string[] = []
  /** Written to, too; one that cannot be written refuses. */
  auditLog: AuditLog | undefined
  /** Of the operator's. */
  readonly secrets: Record<string, string> = {}
  /** What rules carry sealed, by its seal. */
  readonly sealed: Record<string, string> = {}
  #airlock: Airlock | undefined
  readonly #cells: Cells
  readonly #cell: Cell
  readonly #inside: Inside

  readonly #inspection: Promise<Inspection>

  private constructor(cells: Cells, cell: Cell, plan: Plan, inspection: Promise<Inspection>) {
    this.#cells = cells
    this.#cell = cell
    this.id = plan.id
    this.#inside = new Inside(cell, trustVariables(plan))
    this.#inspection = inspection
  }

  /** `authorities`: a file of those that servers rest on, whose connections are looked into; then the sandbox trusts what it is shown. */
  static async open(
    egress: Egress,
    authorities: string | null = null,
    { wall, binds = [] }: { wall?: WallName; binds?: readonly Bind[] } = {},
  ): Promise<Hosted> {
    const cells = await Cells.open(undefined, wall)
    cells.airlock = { socket: join(cells.home, 'airlock.sock'), inspect: join(cells.home, 'inspect.sock') }
    const inspection = openInspection(cells.home, authorities)
    cells.trust = authorities === null ? null : await inspection
    const plan = await cells.plan((plan) => ({ binds: [...plan.binds, ...binds] }))
    const hosted = new Hosted(cells, await cells.launch(plan), plan, inspection)
    await hosted.start()
    hosted.airlock.register(plan.id, egress, AUDIT_BYTES)
    return hosted
  }

  /** The state folder. */
  get home(): string {
    return this.#cells.home
  }

  get airlock(): Airlock {
    if (this.#airlock === undefined) throw new Error('not started')
    return this.#airlock
  }

  /** The host comes, as after a restart: it knows no sandbox yet. */
  async start(): Promise<void> {
    const { airlock } = this.#cells
    if (airlock === null) throw new Error('no sockets')
    this.#airlock = await Airlock.open(
      {
        sockets: airlock,
        record: (record) => {
          this.auditLog?.append(record)
          this.records.push(record)
        },
        addresses: async (name) => {
          this.lookedUp.push(name)
          return this.names[name] ?? []
        },
        secret: async (name) => this.secrets[name],
        unseal: async (sealed) => this.sealed[sealed],
        answers: new KeptAnswers(this.#cells.home, (line) => this.notices.push(line)),
        ...(this.maxInspected === undefined ? {} : { maxInspected: this.maxInspected }),
        searcher: resolve('dist/searcher.mjs'),
        inspection: () => this.#inspection,
      },
      signal,
    )
  }

  async stop(): Promise<void> {
    await this.#airlock?.[Symbol.asyncDispose]()
    this.#airlock = undefined
  }

  of<Kind extends NetworkRecord['kind']>(kind: Kind): Extract<NetworkRecord, { kind: Kind }>[] {
    return this.records.filter((one): one is Extract<NetworkRecord, { kind: Kind }> => one.kind === kind)
  }

  /** What it prints, errors included. */
  async sh(command: string): Promise<string> {
    return (await this.#inside.run(`exec 2>&1\n${command}`)).stdout
  }

  python(code: string, facts: Record<string, unknown> = {}): Promise<string> {
    return this.sh(pythonProgram(code, facts))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#inside[Symbol.dispose]()
    await this.#cell[Symbol.asyncDispose]()
    await this.stop()
    await this.#cells[Symbol.asyncDispose]()
  }
}
