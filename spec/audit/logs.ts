import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AuditLog, type LogOptions } from '../../host/audit/log.ts'
import type { AuditRecord } from '../../host/audit/record.ts'
import { PublicKey } from '../../host/audit/signing-key.ts'
import { verifyLog } from '../../host/audit/verify.ts'
import { freshDeadline } from '../../host/lifetimes.ts'

export const RECORDER = join(import.meta.dirname, '../../native/bin/caisson-recorder.node')

/** A folder for a log, and what a host does with it. */
export class SpecLog implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'audit-'))
  readonly path = join(this.folder, 'audit.jsonl')
  readonly head = join(this.folder, 'audit.head')

  open(options: Partial<LogOptions> = {}): AuditLog {
    return new AuditLog({
      folder: this.folder,
      recorder: RECORDER,
      segmentBytes: 1 << 30,
      keep: { bytes: 0, ms: 0 },
      terminals: { mode: 'off', maxBytes: 0 },
      ...options,
    })
  }

  /** Opens, records so many commands, and closes. */
  write(count: number, from = 0): void {
    using log = this.open()
    for (let number = from; number < from + count; number += 1) log.append(command(`c${number}`))
  }

  get lines(): string[] {
    return readFileSync(this.path, 'utf8').split('\n').slice(0, -1)
  }

  get records(): Record<string, unknown>[] {
    return this.lines.map((line) => JSON.parse(line))
  }

  verify(key = PublicKey.read(join(this.folder, 'public.pem'))) {
    return verifyLog(this.folder, key, freshDeadline(60_000))
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export function command(text: string): AuditRecord {
  return { kind: 'command', sandbox: 'i1', command: text, args: [text], user: '', cwd: '' }
}
