import type { Death, Engine, KeeperEvent, KeeperRequest, Machine, Plan } from '@caisson/wire'
import type { z } from 'zod'

/** What a wall promises; the specs prove it. The answers never change while the host runs. */
export interface Promises {
  /** The kernel that the guest talks to. */
  kernel: 'shared' | 'emulated' | 'own'
  snapshot: 'none' | 'files' | 'memory'
  pty: boolean
  rootless: boolean
  /** Whether the guest can become the sandbox's root by set-uid programs. */
  sudo: boolean
  /** Whether warm interpreters are forked into it from the host. */
  forks: boolean
  /** Whether it can show host files besides the template's. */
  mounts: boolean
  /** Whether it can restore another sandbox's saved state, and the cost of a large state for each: a full copy, or only the pages that it changes. */
  restores: 'no' | 'copied' | 'mapped'
}

/** For a wall that is a machine: its parts that depend on neither the template nor the limits. */
export type MachineParts = Pick<Machine, 'vmm' | 'kernel' | 'initrd' | 'usr' | 'reader'>

/** What builds a wall, after a trial. */
export interface Built {
  /** The program; null: the host's kernel. */
  readonly engine: Engine | null
  readonly machine?: MachineParts
}

/** One thing that this machine lacks for a wall, and the command that fixes it. */
export interface Finding {
  what: string
  severity: 'missing' | 'degraded' | 'fine'
  detail: string
  /** One command, ready to be run. */
  mend?: string
}

/** A cell: a running sandbox, as its wall shows it, with an agent inside. */
export interface Cell extends AsyncDisposable {
  readonly ready: Extract<KeeperEvent, { event: 'ready' }>
  /** Socket of the agent, on the host. */
  readonly agentSocket: string
  /** Resolves once nothing of the sandbox is left; never rejects. */
  readonly death: Promise<Death>
  /** As `death`, for callers that may stop waiting. The returned function unsubscribes. */
  onDeath(listener: (death: Death) => void): () => void
  /** A limit was hit, and the sandbox lives on. The returned function unsubscribes. */
  onLimit(listener: (hit: Extract<KeeperEvent, { event: 'limit' }>) => void): () => void
  /** It froze at its time limit, as its plan says. The returned function unsubscribes. */
  onFrozen(listener: () => void): () => void
  ask(request: WithoutSeq<KeeperRequest>, signal: AbortSignal): Promise<Record<string, unknown>>
  /** Disconnects; the sandbox lives on without this process (leash `none`). */
  release(): void
}
type WithoutSeq<T> = T extends unknown ? Omit<T, 'seq'> : never

export type Listening = (agentSocket: string) => void

/** What must be known about a running sandbox in order to adopt it. */
export type Known = Pick<Plan, 'id' | 'dir' | 'kind' | 'deathRecord' | 'disk'>

/** A kind of isolation: seven members, and one that few have. `supervised.ts` does for all walls what none implements itself. */
export interface Wall<Options> {
  readonly name: string
  /** Operator settings; they never cross the wire. */
  readonly options: z.ZodType<Options>
  readonly promises: Promises
  probe(options: Options, signal: AbortSignal): Promise<Finding[]>
  /** What builds it here, after a trial. Rejects with WALL_UNAVAILABLE. */
  engine(options: Options, signal: AbortSignal): Promise<Built>
  /**
   * Rejects with LAUNCH_FAILED, LIMIT_UNAVAILABLE, WALL_UNAVAILABLE or MOUNT_UNREADABLE; then nothing is left behind. `listening`: called once, before the
   * sandbox runs, as soon as data written to that socket waits there for the agent.
   */
  launch(plan: Plan, options: Options, signal: AbortSignal, listening?: Listening): Promise<Cell>
  /** A live sandbox that another process launched. Rejects with SANDBOX_GONE when it is dead. */
  adopt(plan: Known, options: Options, signal: AbortSignal): Promise<Cell>
  /** Removes what a dead keeper of this sandbox left. Idempotent. */
  sweep(id: string, options: Options, signal: AbortSignal): Promise<void>
  /** Does once, for a newly saved state in this file, what each restore would repeat. False: the format is unknown. */
  easeState?(file: string, signal: AbortSignal): Promise<boolean>
}
