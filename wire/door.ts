import type { Death, EndReason } from './keeper.ts'
import type { Network } from './network.ts'
import type { Plan } from './plan.ts'

/**
 * The door is the interface through which the SDK and the CLI use a host. The embedded host implements it in the same process; a daemon implements it over
 * HTTP. Paths are paths inside the sandbox; times are milliseconds; sizes are MiB. The `signal` is always the last argument.
 */

/** In a limit, `null` means explicitly unlimited. An absent field takes the profile's value. */
export interface CreateRequest {
  profile?: string
  wall?: string
  template?: string
  network?: Network
  env?: Record<string, string>
  metadata?: Record<string, string>
  timeoutMs?: number | null
  memoryMiB?: number | null
  cpus?: number | null
  pids?: number | null
  diskMiB?: number
  outputMiB?: number | null
  openFiles?: number
  mounts?: { source: string; target: string; mode: 'ro' | 'rw' }[]
  /** The caller's working folder on this machine. It is shown inside only where the profile says so (`project`). */
  folder?: string
  /** Which of the caller's workspaces to use, where the profile keeps files (`workspace`). Absent: `default`. */
  workspace?: string
  /** What happens to code and commands in which the scan finds something. Absent: the profile's setting. */
  scan?: 'off' | 'report' | 'block'
  /** `host`: end the sandbox when this process ends (the default of an embedded host). */
  leash?: 'host' | 'none'
}

export interface Door {
  create(request: CreateRequest, signal: AbortSignal): Promise<Held>
  /** The plan that `create` would hand to the keeper, made without building anything. */
  plan(request: CreateRequest, signal: AbortSignal): Promise<Plan>
  close(): Promise<void>
}

/** One sandbox, held open. After its end, every member rejects with SANDBOX_GONE and the reason. */
export interface Held {
  readonly id: string
  /** Resolves (never rejects) when the sandbox has ended and nothing of it is left behind. */
  readonly ended: Promise<Death>
  kill(signal: AbortSignal): Promise<Death>
  start(request: StartRequest, signal: AbortSignal): Promise<Process>
  readonly files: Files
  contexts(signal: AbortSignal): Promise<ContextInfo[]>
  createContext(request: { language: string; cwd?: string }, signal: AbortSignal): Promise<ContextInfo>
  restartContext(id: string, signal: AbortSignal): Promise<void>
  deleteContext(id: string, signal: AbortSignal): Promise<void>
  /**
   * Rejects only if the run could not take place. An exception in the code is an `error` event and `Execution.error`. Backpressure: no further output is read
   * while a promise returned by `on` is pending.
   */
  runCode(request: RunRequest, on: (event: RunEvent) => void | Promise<void>, signal: AbortSignal): Promise<Execution>
  /** Like pressing Ctrl-C in the context. */
  interrupt(contextId: string, signal: AbortSignal): Promise<void>
  metrics(signal: AbortSignal): Promise<SandboxMetrics>
  /** Events from now on. The last one is `gone`. */
  happenings(signal: AbortSignal): AsyncIterable<SandboxHappening>
}

/**
 * An event in the life of a sandbox. `denied`: a network access was refused, and which rule would allow it. `missed`: the number of events dropped just before,
 * because there were too many.
 */
export type SandboxHappening =
  | {
      kind: 'denied'
      atMs: number
      host: string
      /** Null: a name query. */
      port: number | null
      rule: string
      reason: string
      wouldAllow: string | null
      missed: number
    }
  /** `timeout`: the deadline of the sandbox was moved. */
  | { kind: 'paused' | 'resumed' | 'timeout'; atMs: number }
  | { kind: 'gone'; atMs: number; reason: string }

export interface StartRequest {
  command: string
  args?: string[]
  env?: Record<string, string>
  cwd?: string
  user?: string
  stdin?: boolean
  pty?: { columns: number; rows: number }
  tag?: string
  /** The process is killed after this long; the sandbox lives on. */
  timeoutMs?: number
}

export type OutputChannel = 'stdout' | 'stderr' | 'pty'
export interface Output {
  channel: OutputChannel
  bytes: Uint8Array
  /** When the agent read it from the process. */
  atMs: number
}

export interface Process {
  readonly pid: number
  /** Ends after the last output. A reader that stops reading stalls only this process. */
  readonly output: AsyncIterable<Output>
  /** Resolves after `output` has ended. */
  readonly exit: Promise<ProcessExit>
  write(bytes: Uint8Array, signal: AbortSignal): Promise<void>
  closeStdin(signal: AbortSignal): Promise<void>
  signal(number: number, signal: AbortSignal): Promise<void>
  resize(size: { columns: number; rows: number }, signal: AbortSignal): Promise<void>
}

export interface ProcessExit {
  /** The program's own exit code, or 128 + signal. */
  exitCode: number
  /** Number of the signal that killed the process. */
  signal?: number
  /** The limit that ended the process, if one did. */
  limit?: EndReason
}

export type EntryKind = 'file' | 'directory' | 'symlink' | 'other'
export interface FileEntry {
  path: string
  name: string
  kind: EntryKind
  size: number
  mode: number
  owner: string
  group: string
  modifiedMs: number
  symlinkTarget?: string
  /** For a symlink: its final target; absent if it dangles. */
  leadsTo?: { path: string; kind: EntryKind; mode: number }
  attributes?: Record<string, string>
}
export interface FileChange {
  kind: 'create' | 'write' | 'remove' | 'rename' | 'chmod' | 'overflow'
  /** Relative to the watched folder. */
  name: string
  entry?: FileEntry
}

export interface FileOptions {
  user?: string
}
export interface Files {
  read(path: string, options: FileOptions & { offset?: number; length?: number }, signal: AbortSignal): AsyncIterable<Uint8Array>
  write(
    path: string,
    content: AsyncIterable<Uint8Array> | Uint8Array,
    options: FileOptions & { mode?: number; append?: boolean; attributes?: Record<string, string> },
    signal: AbortSignal,
  ): Promise<FileEntry>
  stat(path: string, options: FileOptions & { follow?: boolean }, signal: AbortSignal): Promise<FileEntry>
  list(path: string, options: FileOptions & { depth?: number }, signal: AbortSignal): Promise<FileEntry[]>
  makeDir(path: string, options: FileOptions, signal: AbortSignal): Promise<FileEntry>
  move(from: string, to: string, options: FileOptions, signal: AbortSignal): Promise<FileEntry>
  remove(path: string, options: FileOptions, signal: AbortSignal): Promise<void>
  watch(
    path: string,
    options: FileOptions & { recursive?: boolean; includeEntry?: boolean },
    signal: AbortSignal,
  ): AsyncIterable<FileChange>
  setAttributes(path: string, attributes: Record<string, string>, options: FileOptions, signal: AbortSignal): Promise<FileEntry>
}

export interface ContextInfo {
  id: string
  language: string
  cwd: string
}

export interface RunRequest {
  code: string
  /** An existing context. Absent: the default context of `language`. */
  contextId?: string
  /** python (default), javascript, typescript, bash, java, r. */
  language?: string
  /** For this run only; restored afterwards. */
  env?: Record<string, string>
  /** After this long the run is interrupted, then its context is killed. */
  timeoutMs?: number
  /**
   * Run the code as a program: `path` is the file it came from, or `-c` or `-` if there is none. The exit status then counts (`Execution.exitCode`), and
   * uncaught exceptions are printed. Without a file, the value of the last expression is a result.
   */
  program?: { path: string; args: string[] }
  /** Output is delivered as events only and not kept: output and results of the Execution stay empty. */
  streamed?: boolean
}

/**
 * One rich result; each member is another representation of the same value. The keys are those of E2B's wire format, so that results pass through unchanged.
 */
export interface Rich {
  text?: string
  html?: string
  markdown?: string
  svg?: string
  /** Base64. */
  png?: string
  jpeg?: string
  pdf?: string
  latex?: string
  json?: unknown
  javascript?: string
  /** A data frame: column names mapped to values. */
  data?: Record<string, unknown[]>
  chart?: unknown
  extra?: Record<string, unknown>
  /** True for the value of the last expression, false for something displayed earlier in the run. */
  isMainResult: boolean
}

/** The JSON members of a Rich, as the text written inside. It preserves what a JavaScript number cannot (1.0, 2 ** 60 + 1). */
export type ExactJson = { [form in 'json' | 'data' | 'chart' | 'extra']?: string }

export interface RunError {
  name: string
  value: string
  /** Without colours and without Caisson's own stack frames. */
  traceback: string
}

export type RunEvent =
  /** The first event: the run's turn has come and its runtime is ready. */
  | { type: 'started'; executionCount: number }
  | { type: 'stdout' | 'stderr'; text: string; atMs: number }
  | { type: 'result'; result: Rich; exact?: ExactJson }
  | { type: 'error'; error: RunError }

export interface Execution {
  results: Rich[]
  stdout: string
  stderr: string
  error?: RunError
  /** How many times this context has run code. */
  executionCount: number
  /** For a program (`RunRequest.program`) and for Bash. */
  exitCode?: number
  /** The limit that ended the run, if one did. */
  limit?: EndReason
}

export interface SandboxMetrics {
  memoryUsedBytes: number
  memoryTotalBytes: number
  /** Page cache, which the kernel reclaims under memory pressure; not part of the memory used. 0 where nothing measures it. */
  memoryCacheBytes: number
  diskUsedBytes: number
  diskTotalBytes: number
  cpuUsedUs: number
  processes: number
}
