import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { AgentConnection } from '../../host/agent/connection.ts'
import { type Judge, startCommand } from '../../host/agent/process.ts'
import type { Trust } from '../../host/airlock/exits.ts'
import { makeDiskImage } from '../../host/sandbox/disk.ts'
import { planSandbox } from '../../host/sandbox/plan.ts'
import { readProfile } from '../../host/sandbox/profile.ts'
import { parseRequest } from '../../host/sandbox/request.ts'
import { shownTrust } from '../../host/sandbox/trust.ts'
import { readSettings, type Settings } from '../../host/settings.ts'
import { openTemplate } from '../../host/templates/template.ts'
import { Keepers } from '../../host/walls/keepers.ts'
import type { Cell } from '../../host/walls/wall.ts'
import { Walls } from '../../host/walls/walls.ts'
import type { CreateRequest, Death, Plan, ProcessExit, WallName } from '../../wire/index.ts'

const signal = new AbortController().signal
const judge: Judge = {
  exited: async (exit): Promise<ProcessExit> => exit,
  lost: (failure) => Promise.reject(failure),
}

/** Walls with an agent inside and nothing above them: what a daemon holds in its hands. */
export class Cells implements AsyncDisposable {
  readonly settings: Settings
  readonly wall: Walls
  readonly #name: WallName
  readonly recorded: Death[] = []
  /** For plans made from now on. */
  airlock: { socket: string; inspect: string } | null = null
  trust: Trust | null = null
  readonly #keepers: Keepers

  private constructor(settings: Settings, keeper: string, wall: WallName) {
    this.#name = wall
    this.settings = settings
    this.#keepers = new Keepers(keeper, settings.home)
    this.wall = new Walls({ ...settings, keepers: this.#keepers, keeper }, (death) => this.recorded.push(death))
  }

  /** `under`: a command that starts the keeper as its argument says. */
  static async open(under?: string, wall: WallName = 'container'): Promise<Cells> {
    process.env['CAISSON_TEMPLATES'] ??= join(process.env['CAISSON_HOME'] ?? join(homedir(), '.caisson'), 'templates')
    const settings = readSettings({ home: await mkdtemp(join(tmpdir(), 'cai-')) })
    if (under === undefined) return new Cells(settings, settings.keeper, wall)
    const keeper = join(settings.home, 'keeper')
    await writeFile(keeper, `#!/bin/sh\nexport PATH=/usr/bin:/bin\n${under} ${settings.keeper} "$@"\n`, { mode: 0o755 })
    return new Cells(settings, keeper, wall)
  }

  get home(): string {
    return this.settings.home
  }

  /** Of a small sandbox of the base template, with these changes. */
  async plan(change: (plan: Plan) => Partial<Plan> = () => ({}), request: CreateRequest = {}): Promise<Plan> {
    const { settings } = this
    const profile = await readProfile(settings.profiles, 'default', signal)
    const template = await openTemplate('base', settings, signal)
    const plan = planSandbox(parseRequest({ diskMiB: 64, leash: 'none', ...request }), profile, template, {
      root: settings.uid === 0,
      home: settings.home,
      agent: settings.agent,
      auditLog: join(settings.home, 'audit', 'audit.jsonl'),
      id: `i${randomBytes(8).toString('hex')}`,
      machineId: randomBytes(16).toString('hex'),
      zygoteSocket: null,
      kept: null,
      onWall: 'end',
      airlock: this.airlock === null ? null : { ...this.airlock, policy: { mode: 'open' } },
      wall: { name: this.#name, ...(await this.wall.engine(this.#name, signal)), ...this.wall.promises(this.#name) },
      trust: await shownTrust(this.trust, template),
    })
    await makeDiskImage(plan.disk, signal)
    return { ...plan, ...change(plan) }
  }

  launch(plan: Plan): Promise<Cell> {
    return this.wall.launch(plan, signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keepers[Symbol.asyncDispose]()
    await rm(this.home, { recursive: true, force: true })
  }
}

export interface Told {
  exitCode: number
  stdout: string
}

/** A conversation with the agent of a cell. */
export class Inside implements Disposable {
  readonly #agent: AgentConnection
  readonly #env: Readonly<Record<string, string>>

  /** `env`: besides PATH. */
  constructor(cell: Pick<Cell, 'agentSocket'>, env: Readonly<Record<string, string>> = {}) {
    this.#agent = AgentConnection.to(cell.agentSocket)
    this.#env = env
  }

  start(command: string, user = 'user') {
    const request = { command: 'sh', args: ['-c', command], env: { PATH: '/usr/bin:/bin', ...this.#env }, cwd: '', user }
    return startCommand(this.#agent, request, { judge }, signal)
  }

  async run(command: string, user = 'user'): Promise<Told> {
    const process = await this.start(command, user)
    let stdout = ''
    for await (const { bytes } of process.output) stdout += Buffer.from(bytes).toString()
    return { exitCode: (await process.exit).exitCode, stdout }
  }

  [Symbol.dispose](): void {
    this.#agent.close()
  }
}

/** A command in a cell, on a connection of its own. */
export async function run(cell: Cell, command: string, user = 'user'): Promise<Told> {
  using inside = new Inside(cell)
  return await inside.run(command, user)
}

/** The keeper of a cell, as the host numbers it. */
export async function keeperOf(cell: Cell): Promise<number> {
  return Number(/PPid:\s+(\d+)/.exec(await readFile(`/proc/${cell.ready.agentPid}/status`, 'utf8'))?.[1])
}
