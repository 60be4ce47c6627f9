import type { Death, Engine, KeeperEvent, KeeperRequest, Machine, Plan } from '@caisson/wire'
import type { z } from 'zod'

/** What a wall keeps, declared; the specs prove it. The answers never change while the host runs. */
export interface Promises {
  /** Whose kernel the code inside talks to. */
  kernel: 'shared' | 'emulated' | 'own'
  snapshot: 'none' | 'files' | 'memory'
  pty: boolean
  rootless: boolean
  /** Root of the host's making may be become inside, by set-uid programs. */
  sudo: boolean
  /** Warmed interpreters of the host are forked into it. */
  forks: boolean
  /** Folders and files of the host's, other than the template's, are shown inside. */
  mounts: boolean
  /** Whether it can start from the saved state of another sandbox, and if so, what a large one costs each: a copy, or what it changes of it. */
  restores: 'no' | 'copied' | 'mapped'
}

/** Of a wall that is a machine: its parts, without those that the template and the limits decide. */
export type MachineParts = Pick<Machine, 'vmm' | 'kernel' | 'initrd' | 'usr' | 'reader'>

/** What builds a wall, found and tried. */
export interface Built {
  /** The program; null: the kernel. */
  readonly engine: Engine | null
  readonly machine?: MachineParts
}

/** One thing this machine lacks for a wall, and the command that mends it. */
export interface Finding {
  what: string
  severity: 'missing' | 'degraded' | 'fine'
  detail: string
  /** One command, to be run as it stands. */
  mend?: string
}

/** A standing wall with an agent inside. */
export interface Cell extends AsyncDisposable {
  readonly ready: Extract<KeeperEvent, { event: 'ready' }>
  /** Where the agent listens, on the host. */
  readonly agentSocket: string
  /** Resolves, never rejects, once nothing of the sandbox is left. */
  readonly death: Promise<Death>
  /** As `death`, for whoever may stop waiting for it. The result does. */
  onDeath(listener: (death: Death) => void): () => void
  /** A limit was hit and the sandbox lives on. The result stops listening. */
  onLimit(listener: (hit: Extract<KeeperEvent, { event: 'limit' }>) => void): () => void
  /** Its time was over, and its plan says that it freezes then. The result stops listening. */
  onFrozen(listener: () => void): () => void
  ask(request: WithoutSeq<KeeperRequest>, signal: AbortSignal): Promise<Record<string, unknown>>
  /** From now on it lives without this process (leash `none`); nothing more is heard of it here. */
  release(): void
}
type WithoutSeq<T> = T extends unknown ? Omit<T, 'seq'> : never

export type Listening = (agentSocket: string) => void

/** What is to be known of a sandbox that stands already. */
export type Known = Pick<Plan, 'id' | 'dir' | 'kind' | 'deathRecord' | 'disk'>

/** A kind of isolation: seven members and what few have, and `supervised.ts` does for all of them what none may do for itself. */
export interface Wall<Options> {
  readonly name: string
  /** Settings of the operator; they never cross the wire. */
  readonly options: z.ZodType<Options>
  readonly promises: Promises
  probe(options: Options, signal: AbortSignal): Promise<Finding[]>
  /** What builds it here, found and tried. Rejects with WALL_UNAVAILABLE. */
  engine(options: Options, signal: AbortSignal): Promise<Built>
  /**
   * Rejects with LAUNCH_FAILED, LIMIT_UNAVAILABLE, WALL_UNAVAILABLE or MOUNT_UNREADABLE; then nothing is left behind. `listening`: called once, before it
   * stands, if what is written to that socket waits there for the agent to start.
   */
  launch(plan: Plan, options: Options, signal: AbortSignal, listening?: Listening): Promise<Cell>
  /** One that another process launched, and that lives. Rejects with SANDBOX_GONE when it does not. */
  adopt(plan: Known, options: Options, signal: AbortSignal): Promise<Cell>
  /** Removes what a dead keeper of this sandbox left. Idempotent. */
  sweep(id: string, options: Options, signal: AbortSignal): Promise<void>
  /** Of a state in this file that was just saved: whatever each restore would do anew is done once. False: there was nothing that is known how to do. */
  easeState?(file: string, signal: AbortSignal): Promise<boolean>
}
