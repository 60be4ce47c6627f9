import type { Rich } from '@caisson/wire'
import type { RunCodeOptions, Sandbox } from '../../sandbox.ts'
import { printed } from './forms.ts'
import type { Interrupts } from './interrupts.ts'
import type { Job } from './job.ts'
import { endOf, endOfRejection, type Outcome } from './outcome.ts'
import type { Say } from './say.ts'

/** Runs a program. Prints its output, including the traceback of an uncaught exception, and the text of its results. */
export async function runCode(
  sandbox: Sandbox,
  job: Exclude<Job, { kind: 'command' }>,
  say: Say,
  interrupts: Interrupts,
): Promise<Outcome> {
  const kept: { stdout: string[]; stderr: string[]; results: Rich[] } = { stdout: [], stderr: [], results: [] }
  const options: RunCodeOptions = {
    language: job.language,
    program: job.kind === 'program' ? { path: `/home/user/${job.name}`, args: job.args } : { path: job.path, args: [] },
    signal: interrupts.signal,
    onStdout: (text) => {
      kept.stdout.push(text)
      say.out(text)
    },
    onStderr: (text) => {
      kept.stderr.push(text)
      say.err(text)
    },
    onResult: (result) => {
      kept.results.push(result)
      const text = printed(result)
      if (text !== undefined) say.out(text.endsWith('\n') ? text : `${text}\n`)
    },
  }
  interrupts.inside(() => sandbox.interrupt())
  const end = await sandbox.runCode(job.code, options).then(
    (result) => endOf(result),
    (error: unknown) => endOfRejection(error, sandbox),
  )
  return { ...end, results: kept.results, stdout: kept.stdout.join(''), stderr: kept.stderr.join('') }
}
