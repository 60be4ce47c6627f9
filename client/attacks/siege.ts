import { Fault, type WallName } from '@caisson/wire'
import { Sandbox, type SandboxOptions } from '../sandbox.ts'
import { INTERPRETER, type NamedAttack, program, read, type Verdict } from './attack.ts'
import { hostKernel } from './host-kernel.ts'
import { runOutside } from './outside.ts'
import { worthOf } from './own-kernel.ts'
import type { Tried, WallReport, Way } from './report.ts'

const PATIENCE_MS = 120_000
const LIFE_MS = 3_600_000

/** Sandboxes of one profile, a wall each, that are attacked one attack after the other. */
export class Siege implements AsyncDisposable {
  readonly #options: SandboxOptions
  readonly #notice: (line: string) => void
  readonly #reports: WallReport[] = []
  readonly #sandboxes = new Map<WallName, Sandbox>()
  /** Behind these the host's kernel answers, whatever was promised: nothing is granted there. */
  readonly #shared = new Set<WallName>()

  private constructor(options: SandboxOptions, notice: (line: string) => void) {
    this.#options = options
    this.#notice = notice
  }

  /** `notice` is told what is going on. A wall that cannot be had here is in the reports, with the reason. */
  static async open(walls: readonly WallName[], options: SandboxOptions, notice: (line: string) => void): Promise<Siege> {
    const siege = new Siege({ template: 'base', timeoutMs: LIFE_MS, ...options }, notice)
    for (const wall of walls) {
      notice(`a sandbox behind ${wall}`)
      const unavailable = await siege.#make(wall).then(
        () => null,
        (failure: unknown) => {
          if (!(failure instanceof Fault)) throw failure
          return `${failure.code}: ${failure.message}`
        },
      )
      siege.#reports.push({ wall, unavailable, tried: [] })
    }
    if (siege.#attackable(hostKernel).length > 0) await siege.attack(hostKernel)
    return siege
  }

  get reports(): readonly WallReport[] {
    return this.#reports
  }

  /** First without a wall, in a child of its own; then behind each. */
  async attack(attack: NamedAttack): Promise<void> {
    this.#notice(attack.name)
    const without = await runOutside(attack).finally(() => attack.mend?.())
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
    const sandbox = await Sandbox.create({ ...this.#options, wall })
    this.#sandboxes.set(wall, sandbox)
    return sandbox
  }

  /** A string: why there are none. */
  async #within(wall: WallName, { code, facts }: NamedAttack, user: string): Promise<Verdict[] | string> {
    const sandbox = this.#sandboxes.get(wall) ?? (await this.#make(wall))
    try {
      const command = [...INTERPRETER, program(code), JSON.stringify(facts?.(true) ?? {})] as const
      const { exitCode, stdout, stderr } = await sandbox.commands.run([...command], { user, timeoutMs: PATIENCE_MS })
      return read(stdout, `exit ${exitCode}: ${stderr}`)
    } catch (failure) {
      // An attack may be the end of its sandbox; the next one gets another.
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
  // The reasons of another kernel are its own.
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
