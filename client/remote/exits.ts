import { constants } from 'node:os'
import { EndReason, Fault, type ProcessExit } from '@caisson/wire'
import { type Json, number, text } from './json.ts'
import { GoneFault } from './visit.ts'

const TIMEOUT_EXIT_CODE = 124
const KILLED_EXIT_CODE = 137
const UNKNOWN_EXIT_CODE = 255
const SIGKILL = 9

/** Reasons for which a sandbox ends that a process in it reports as its own end. */
const LIMITS: ReadonlySet<EndReason> = new Set(['timeout', 'memory', 'pids', 'disk', 'output'])

/** Signal descriptions as Go, and therefore E2B, words them; others are "signal 34". */
const SIGNALS: Readonly<Record<string, NodeJS.Signals>> = {
  hangup: 'SIGHUP',
  interrupt: 'SIGINT',
  quit: 'SIGQUIT',
  'illegal instruction': 'SIGILL',
  'trace/breakpoint trap': 'SIGTRAP',
  aborted: 'SIGABRT',
  'bus error': 'SIGBUS',
  'floating point exception': 'SIGFPE',
  killed: 'SIGKILL',
  'user defined signal 1': 'SIGUSR1',
  'segmentation fault': 'SIGSEGV',
  'user defined signal 2': 'SIGUSR2',
  'broken pipe': 'SIGPIPE',
  'alarm clock': 'SIGALRM',
  terminated: 'SIGTERM',
  'stack fault': 'SIGSTKFLT',
  'CPU time limit exceeded': 'SIGXCPU',
  'file size limit exceeded': 'SIGXFSZ',
  'virtual timer expired': 'SIGVTALRM',
  'profiling timer expired': 'SIGPROF',
  'I/O possible': 'SIGIO',
  'power failure': 'SIGPWR',
  'bad system call': 'SIGSYS',
}

/** A process exit from E2B's wire format. */
export function exitOf(end: Json): ProcessExit {
  const status = text(end, 'status') ?? ''
  const [, name = '', plain] = /^signal:? (?:(\d+)|(.*?))(?: \(core dumped\))?$/.exec(status) ?? []
  const known = SIGNALS[plain ?? '']
  const signal = name !== '' ? Number(name) : known === undefined ? undefined : constants.signals[known]
  const limit = EndReason.safeParse(end['limit'])
  const code = number(end, 'exitCode') ?? 0
  return {
    exitCode: code < 0 ? (signal === undefined ? UNKNOWN_EXIT_CODE : 128 + signal) : code,
    ...(signal === undefined ? {} : { signal }),
    ...(limit.success ? { limit: limit.data } : {}),
  }
}

/** The exit behind a failed stream: the process timed out, or its sandbox hit a limit. Rethrows any other failure. */
export function exitBehind(failure: unknown, hasTimeout: boolean): ProcessExit {
  if (hasTimeout && failure instanceof Fault && failure.code === 'LIMIT_HIT') {
    return { exitCode: TIMEOUT_EXIT_CODE, signal: SIGKILL, limit: 'timeout' }
  }
  if (!(failure instanceof GoneFault) || !LIMITS.has(failure.death.reason)) throw failure
  const { reason } = failure.death
  return { exitCode: reason === 'timeout' ? TIMEOUT_EXIT_CODE : KILLED_EXIT_CODE, signal: SIGKILL, limit: reason }
}
