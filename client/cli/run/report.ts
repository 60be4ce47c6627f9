import type { Fault } from '@caisson/wire'
import { exitCodeOf, faultLine, inTheCatalogue } from '../ending.ts'
import type { BroughtBack } from './bring-back.ts'
import type { NetworkTold } from './network-told.ts'
import type { Outcome } from './outcome.ts'

/** Milliseconds. */
export interface Durations {
  create: number
  carryIn: number
  run: number
  total: number
}

/** The document of `--json`; docs/reference/cli.md describes it. */
export function documentOf(id: string, outcome: Outcome, back: BroughtBack, durations: Durations, network?: NetworkTold): string {
  const { exitCode, limit, fault, exception, stdout, stderr, results } = outcome
  return asDocument({
    id,
    exitCode,
    limit,
    error: fault && errorOf(fault),
    exception,
    stdout,
    stderr,
    results,
    saved: back.saved,
    left: back.left,
    network,
    durationsMs: Object.fromEntries(Object.entries(durations).map(([name, ms]) => [name, Math.round(ms * 10) / 10])),
  })
}

/** For when nothing ran: prints one line on standard error and, with `--json`, a document. Returns the exit code. */
export function tellFault(error: unknown, json: boolean): number {
  const fault = inTheCatalogue(error)
  const exitCode = exitCodeOf(fault)
  process.stderr.write(`${faultLine(fault)}\n`)
  if (json) process.stdout.write(asDocument({ exitCode, error: errorOf(fault) }))
  return exitCode
}

function errorOf(fault: Fault): { code: string; message: string; hint: string } {
  return { code: fault.code, message: fault.message, hint: fault.hint }
}

function asDocument(members: Record<string, unknown>): string {
  return `${JSON.stringify(members, null, 2)}\n`
}
