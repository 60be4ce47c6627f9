import type { Death, EndReason } from './keeper.ts'
import type { Network } from './network.ts'
import type { Plan } from './plan.ts'

/**
 * The door: all that the SDK and the CLI ask of a host. The embedded host implements it in the same process; a daemon implements it over
 * HTTP. Paths are paths inside the sandbox; times are milliseconds; sizes are MiB. The `signal` is always the last argument.
 */

/** `null` in a limit says plainly: not limited. Absent: as the profile says. */
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
  /** The folder of this machine that the caller works in. It is shown where the profile says so (`project`), and only there. */
  folder?: string
  /** Which of the caller's workspaces it is, where the profile keeps files (`workspace`), and only there; absent: `default`. */
  workspace?: string
  /** What is done with code and commands that the scan finds something in; absent: as the profile says. */
  scan?: 'off' | 'report' | 'block'
  /** End the sandbox when this process ends (the default of an embedded host). */
  leash?: 'host' | 'none'
}

export interface Door {
  create(request: CreateRequest, signal: AbortSignal): Promise<Held>
  /** The plan that `create` would hand to the keeper, made without building anything. */
  plan(request: CreateRequest, signal: AbortSignal): Promise<Plan>
  close(): Promise<void>
}

/** One sandbox, held open. Every member rejects with SANDBOX_GONE, naming the reason, once it has ended. */
export interface Held {
  readonly id: string
  /** Resolves (never rejects) when the sandbox has ended and nothing of it is left. */
  readonly ended: Promise<Death>
  kill(signal: AbortSignal): Promise<Death>
  start(request: StartRequest, signal: AbortSignal): Promise<Process>
  readonly files: Files
  contexts(signal: AbortSignal): Promise<ContextInfo[]>
  createContext(request: { language: string; cwd?: string }, signal: AbortSignal): Promise<ContextInfo>
  restartContext(id: string, signal: AbortSignal): Promise<void>
  deleteContext(id: string, signal: AbortSignal): Promise<void>
  /**
   * Rejects only if the run could not take place; an exception of the code is an `error` event and `Execution.error`. While a promise that `on`
   * returned is pending, nothing more is read of what the code says.
   */
  runCode(request: RunRequest, on: (event: RunEvent) => void | Promise<void>, signal: AbortSignal): Promise<Execution>
  /** Like pressing Ctrl-C in the context. */
  interrupt(contextId: string, signal: AbortSignal): Promise<void>
  metrics(signal: AbortSignal): Promise<SandboxMetrics>
  /** From now on; the last is `gone`. */
  happenings(signal: AbortSignal): AsyncIterable<SandboxHappening>
}

/** Something that happened to a sandbox. `denied`: it was not let reach something, and which rule would let it; `missed`: how many came just before, and were too many to tell. */
export type SandboxHappening =
  | {
      kind: 'denied'
      atMs: number
      host: string
      /** Null: a question for a name. */
      port: number | null
      rule: string
      reason: string
      wouldAllow: string | null
      missed: number
    }
  /** `timeout`: the end of its time was moved. */
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
  /** When the agent read it. */
  atMs: number
}

export interface Process {
  readonly pid: number
  /** Ends after the last output. A reader that stops reading stalls the process, and nothing else. */
  readonly output: AsyncIterable<Output>
  /** Resolves after `output` has ended. */
  readonly exit: Promise<ProcessExit>
  write(bytes: Uint8Array, signal: AbortSignal): Promise<void>
  closeStdin(signal: AbortSignal): Promise<void>
  signal(number: number, signal: AbortSignal): Promise<void>
  resize(size: { columns: number; rows: number }, signal: AbortSignal): Promise<void>
}

export interface ProcessExit {
  /** The program's own, or 128 + signal. */
  exitCode: number
  /** Number of the signal that ended it. */
  signal?: number
  /** The limit that ended it, when one did. */
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
  /** Of a link: what it leads to in the end; absent when that is nothing. */
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
  /** A live context; absent: the default context of `language`. */
  contextId?: string
  /** python (default), javascript, typescript, bash, java, r. */
  language?: string
  /** For this run only; undone afterwards. */
  env?: Record<string, string>
  /** The run is interrupted, then its context killed, after this long. */
  timeoutMs?: number
  /**
   * Run as a program: name of the file it came from, or `-c` or `-` for none, and its arguments. Exit status then counts (`Execution.exitCode`), and
   * what it does not catch is printed. Without a file the value of the last expression is a result.
   */
  program?: { path: string; args: string[] }
  /** What it says is told as events and kept nowhere: output and results of the Execution stay empty. */
  streamed?: boolean
}

/** One rich result; each member is one form of the same thing. Keys are those of E2B's wire, so that it travels unchanged. */
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
  /** A data frame: column name to values. */
  data?: Record<string, unknown[]>
  chart?: unknown
  extra?: Record<string, unknown>
  /** The value of the last expression, as against something displayed on the way. */
  isMainResult: boolean
}

/** Members of a Rich that are JSON, as the text that was written inside: it keeps what a number of JavaScript cannot (1.0, 2 ** 60 + 1). */
export type ExactJson = { [form in 'json' | 'data' | 'chart' | 'extra']?: string }

export interface RunError {
  name: string
  value: string
  /** No colours, no frames of Caisson's own. */
  traceback: string
}

export type RunEvent =
  /** Its turn has come, in a runtime that is ready: the first event. */
  | { type: 'started'; executionCount: number }
  | { type: 'stdout' | 'stderr'; text: string; atMs: number }
  | { type: 'result'; result: Rich; exact?: ExactJson }
  | { type: 'error'; error: RunError }

export interface Execution {
  results: Rich[]
  stdout: string
  stderr: string
  error?: RunError
  /** How often this context has run something. */
  executionCount: number
  /** Of a program (`RunRequest.program`) or of Bash. */
  exitCode?: number
  /** The limit that ended the run, when one did. */
  limit?: EndReason
}

export interface SandboxMetrics {
  memoryUsedBytes: number
  memoryTotalBytes: number
  /** Of files that were read and written, which goes when memory is wanted; not part of what is used. 0 where nothing counts it. */
  memoryCacheBytes: number
  diskUsedBytes: number
  diskTotalBytes: number
  cpuUsedUs: number
  processes: number
}
