export {
  CATALOGUE,
  type Death,
  type Door,
  type EndReason,
  Fault,
  type FaultCode,
  type Rich,
  type RunError,
  type SandboxHappening,
  type SandboxMetrics,
} from '@caisson/wire'
export type { CodeResult } from './code-result.ts'
export type { CommandLine, CommandOutput, CommandResult, Commands, RunOptions, StartOptions } from './commands.ts'
export type { ContextInfo, ContextRef, Contexts } from './contexts.ts'
export type { Content, FileChange, FileEntry, ReadOptions, SandboxFiles, WriteOptions } from './files.ts'
export type { SandboxInfo } from './remote/info.ts'
export { type ListOptions, RemoteDoor, type Snapshot } from './remote/remote-door.ts'
export type { RunningCommand } from './running-command.ts'
export { type ConnectOptions, type ListSandboxesOptions, type RunCodeOptions, Sandbox, type SandboxOptions } from './sandbox.ts'
