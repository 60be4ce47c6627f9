import { Fault, type Network, type WallName } from '@caisson/wire'
import { Sandbox } from '../sandbox.ts'
import { INTERPRETER, type NamedAttack, program, read, type Verdict } from './attack.ts'
import { hostKernel } from './host-kernel.ts'
import { runOutside } from './outside.ts'
import { worthOf } from './own-kernel.ts'
import type { Tried, WallReport, Way } from './report.ts'
import type { Target } from './target.ts'

const PATIENCE_MS = 120_000

interface Besieged {
  readonly target: Target
  readonly network: Network
  /** Receives progress messages. */
  readonly notice: (line: string) => void
  /** Ends the sandboxes and everything that runs without a wall. */
  readonly signal: AbortSignal
}

/** Sandboxes of one profile, one for each wall, attacked with one attack after another. */
export class Siege implements AsyncDisposable {
  readonly #of: Besieged
  readonly #reports: WallReport[] = []
  readonly #sandboxes = new Map<WallName, Sandbox>()
  /** Walls behind which the host's kernel answers, whatever was promised. Nothing is granted there. */
  readonly #shared = new Set<WallName>()

  private constructor(of: Besieged) {
    this.#of = of
    // On abort, waiters must not wait any longer.
    of.signal.addEventListener('abort', () => void this[Symbol.asyncDispose]().catch(() => undefined), { once: true })
  }

  /** A wall that is unavailable here appears in the reports with the reason. */
  static async open(walls: readonly WallName[], of: Besieged): Promise<Siege> {
    const siege = new Siege(of)
    try {
      await siege.#makeAll(walls)
      if (siege.#attackable(hostKernel).length > 0) await siege.attack(hostKernel)
      return siege
    } catch (failure) {
      await siege[Symbol.asyncDispose]()
      throw failure
    }
  }

  async #makeAll(walls: readonly WallName[]): Promise<void> {
    for (const wall of walls) {
      this.#of.notice(`a sandbox behind ${wall}`)
      const unavailable = await this.#make(wall).then(
        () => null,
        (failure: unknown) => {
          if (!(failure instanceof Fault) || this.#of.signal.aborted) throw failure
          return `${failure.code}: ${failure.message}`
        },
      )
      this.#reports.push({ wall, unavailable, tried: [] })
    }
  }

  get reports(): readonly WallReport[] {
    return this.#reports
  }

  /** Runs it first without a wall, in a child process, then behind each wall. */
  async attack(attack: NamedAttack): Promise<void> {
    this.#of.notice(attack.name)
    const without = await runOutside(attack, this.#of.signal).finally(() => attack.mend?.())
    for (const report of this.#attackable(attack)) {
      for (const user of attack.users ?? ['user', 'root']) {
        const within = await this.#within(report.wall, attack, user)
        const ways = without.map((one) => judged(one, within, attack, report.wall, this.#shared.has(report.wall)))
        if (attack === hostKernel && !ways.every((way) => way.within === 'contained')) this.#shared.add(report.wall)
        report.tried.push({ attack: attack.name, why: attack.why, user, ways, damage: await damageOf(attack) } satisfies Tried)
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#sandboxes.values()].map((sandbox) => sandbox.kill()))
  }

  #attackable({ walls }: NamedAttack): readonly WallReport[] {
    return this.#reports.filter(({ wall, unavailable }) => unavailable === null && walls?.includes(wall) !== false)
  }

  async #make(wall: WallName): Promise<Sandbox> {
    const { target, network, signal } = this.#of
    const sandbox = await Sandbox.create({ ...target.behind(wall), network, signal })
    this.#sandboxes.set(wall, sandbox)
    return sandbox
  }

  /** A string: why there are no verdicts. */
  async #within(wall: WallName, { code, facts }: NamedAttack, user: string): Promise<Verdict[] | string> {
    const sandbox = this.#sandboxes.get(wall) ?? (await this.#make(wall))
    try {
      const command = [...INTERPRETER, program(code), JSON.stringify(facts?.(true) ?? {})] as const
      const { exitCode, stdout, stderr } = await sandbox.commands.run([...command], { user, timeoutMs: PATIENCE_MS })
      return read(stdout, `exit ${exitCode}: ${stderr}`)
    } catch (failure) {
      this.#of.signal.throwIfAborted()
      // An attack may kill its sandbox; the next attack then gets a new one.
      this.#sandboxes.delete(wall)
      await sandbox.kill().catch(() => undefined)
      return failure instanceof Error ? failure.message : String(failure)
    }
  }
}

function judged(without: Verdict, within: Verdict[] | string, attack: NamedAttack, wall: WallName, isShared: boolean): Way {
  const { name, missing, stoppedBy } = attack
  const worth = isShared ? undefined : worthOf(wall, name, without.way)
  const isMissing = without.verdict === 'CONTAINED' && missing?.[without.way]?.test(without.text) === true
  const shown = without.verdict === 'ESCAPED' ? 'escaped' : isMissing ? 'missing' : 'failed'
  const found = typeof within === 'string' ? undefined : within.find(({ way }) => way === without.way)
  const way = { way: without.way, without: shown } as const
  if (found === undefined) {
    const reason = typeof within === 'string' ? within.slice(0, 500) : 'it said nothing'
    return { ...way, within: 'broken', reason }
  }
  if (found.verdict === 'ESCAPED') {
    if (worth === undefined) return { ...way, within: 'escaped', reason: found.text }
    return { ...way, within: 'own kernel', reason: `${found.text} (${worth})` }
  }
  const reason = shown === 'failed' ? `${found.text} (and without the wall: ${without.text})` : found.text
  // A different kernel has its own error messages.
  return { ...way, within: wall !== 'container' || stoppedBy.test(found.text) ? 'contained' : 'broken', reason }
}

async function damageOf(attack: NamedAttack): Promise<string | null> {
  try {
    await attack.untouched?.()
    return null
  } catch (failure) {
    return failure instanceof Error ? failure.message : String(failure)
  }
}
