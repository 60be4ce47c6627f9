import { Fault, type RunError } from '@caisson/wire'
import type { AuditLog } from '../audit/log.ts'
import type { Scanner } from '../scan/scanner.ts'
import type { ScanFinding, Scanned } from '../scan/words.ts'
import type { Profile } from './profile.ts'

export type ScanChoice = Profile['scan']

const LANGUAGES: Readonly<Record<string, Scanned>> = { python: 'python', javascript: 'javascript', typescript: 'javascript', bash: 'shell' }
const MAX_TOLD = 10

/** The result of scanning code. `lines`: for people. */
export interface Judged {
  readonly isRefused: boolean
  readonly lines: readonly string[]
}

const NOTHING: Judged = { isRefused: false, lines: [] }

/** Scans what a sandbox is about to run, as its profile says. This gives early feedback; the wall contains whatever the scan misses. */
export class Examination {
  readonly #scanner: Scanner
  readonly #choice: ScanChoice
  readonly #sandbox: { readonly id: string; readonly owner: string | undefined }
  readonly #auditLog: AuditLog

  /** `owner` undefined: the operator. */
  constructor(scanner: Scanner, choice: ScanChoice, sandbox: { id: string; owner: string | undefined }, auditLog: AuditLog) {
    this.#scanner = scanner
    this.#choice = choice
    this.#sandbox = sandbox
    this.#auditLog = auditLog
  }

  /** Scans code in a language of the runtimes. Where findings are refused, code that cannot be scanned is refused as well. */
  async code(language: string, code: string, signal: AbortSignal): Promise<Judged> {
    const { mode, banned } = this.#choice
    const scanned = LANGUAGES[language]
    if (mode === 'off' || scanned === undefined || code.trim() === '') return NOTHING
    const { id, owner = '' } = this.#sandbox
    const { seen, unseen } = await this.#scanner.scan(scanned, code, banned ? ['hostile', 'banned'] : ['hostile'], signal, owner)
    const lines = seen === undefined ? [`it could not be looked through: ${unseen}`] : told(seen.findings)
    if (lines.length === 0) return NOTHING
    const rules = [...new Set(seen?.findings.map(({ rule }) => rule) ?? ['unseen'])]
    const isRefused = mode === 'block'
    this.#auditLog.append({ kind: 'scan', sandbox: id, language, mode, refused: isRefused, rules, findings: [...lines] })
    return { isRefused, lines }
  }

  /** Scans a command as if it were a line of a shell script. Rejects with SCAN_REFUSED. */
  async command(command: string, args: readonly string[], signal: AbortSignal): Promise<void> {
    if (this.#choice.mode === 'off') return
    const script = [command, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
    const { isRefused, lines } = await this.code('bash', script, signal)
    if (isRefused) throw new Fault('SCAN_REFUSED', `the scan refused the command: ${lines[0]}`)
  }
}

/** The refusal as an exception of the code, for callers that know only exceptions. */
export function refusedRun({ lines }: Judged): RunError {
  const more = lines.length > 1 ? ` (and ${lines.length - 1} more)` : ''
  return { name: 'ScanRefused', value: `${lines[0]}${more}`, traceback: ['ScanRefused: nothing of it was run', ...lines].join('\n') }
}

function told(findings: readonly ScanFinding[]): string[] {
  return findings.slice(0, MAX_TOLD).map(({ line, rule, what, reason, hint }) => `line ${line}: ${what}: ${reason} (${rule}). ${hint}`)
}
