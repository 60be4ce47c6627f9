import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { Fault } from '@caisson/wire'
import { type AuditRecord, auditLine } from './record.ts'

const NEWLINE = 0x0a
/** No record is longer: fields are cut (record.ts; the keeper does the same). */
const MAX_TAIL_BYTES = 4 * 1024 * 1024

/**
 * The append-only log. Hosts and keepers append to it at the same time, each record with a single write to a descriptor opened with O_APPEND, which
 * the kernel does not interleave (write(2)).
 */
export class AuditLog implements Disposable {
  readonly path: string
  readonly #fd: number
  #torn = false

  /** Throws AUDIT_UNWRITABLE. A line that a crash left half-written is moved out of the log to a file beside it, and that is recorded. */
  constructor(path: string) {
    this.path = path
    try {
      this.#fd = openSync(path, 'a+', 0o600)
    } catch (cause) {
      throw unwritable(path, cause)
    }
    try {
      this.#cutTornTail()
    } catch (cause) {
      closeSync(this.#fd)
      throw cause instanceof Fault ? cause : unwritable(path, cause)
    }
  }

  /** On return the record is in the log. Throws AUDIT_UNWRITABLE: then what it was about must not happen. */
  append(record: AuditRecord): void {
    // A write that the disk cut short left half a line: the next record starts a line of its own.
    const line = Buffer.from(`${this.#torn ? '\n' : ''}${auditLine(record, new Date())}`)
    let written: number
    try {
      written = writeSync(this.#fd, line)
    } catch (cause) {
      throw unwritable(this.path, cause)
    }
    this.#torn = written < line.length
    if (this.#torn) throw unwritable(this.path, new Error(`only ${written} of ${line.length} bytes of a record were written`))
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }

  #cutTornTail(): void {
    const size = fstatSync(this.#fd).size
    const from = Math.max(0, size - MAX_TAIL_BYTES)
    const tail = Buffer.alloc(1)
    if (size === 0 || (readSync(this.#fd, tail, 0, 1, size - 1) === 1 && tail[0] === NEWLINE)) return
    const end = Buffer.alloc(size - from)
    readSync(this.#fd, end, 0, end.length, from)
    const keep = from + end.lastIndexOf(NEWLINE) + 1
    // Another process may be writing this very line: only a tail that stays as it is has been torn.
    if (fstatSync(this.#fd).size !== size) return
    const kept = `${this.path}.torn-${new Date().toISOString().replaceAll(':', '')}`
    writeFileSync(kept, end.subarray(keep - from), { flag: 'wx', mode: 0o600 })
    ftruncateSync(this.#fd, keep)
    this.append({ kind: 'torn', sandbox: '', bytes: size - keep, kept })
  }
}

function unwritable(path: string, cause: unknown): Fault {
  return new Fault('AUDIT_UNWRITABLE', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
}
