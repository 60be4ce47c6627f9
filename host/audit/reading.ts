import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'
import { ocsf } from './ocsf.ts'
import { type AuditEntry, type AuditQuery, chosenEntries, isThere } from './query.ts'
import { CURRENT } from './segments.ts'
import { PublicKey } from './signing-key.ts'
import { castsIn, TERMINALS } from './terminals/casts.ts'
import { digestOf } from './terminals/checking.ts'
import { verifyLog } from './verify.ts'
import type { Verified } from './walk.ts'

/** Read-only access to a log: that of a state folder, or a copy. */
export class AuditReading {
  readonly folder: string

  /** Throws NOT_FOUND if there is no log. */
  constructor(folder: string) {
    this.folder = folder
    if (!isThere(join(folder, CURRENT))) throw new Fault('NOT_FOUND', `${folder}: there is no audit log`)
  }

  /** PEM; its holder can verify what this installation signed. Throws NOT_FOUND. */
  get publicKey(): string {
    const path = join(this.folder, 'public.pem')
    try {
      return readFileSync(path, 'utf8')
    } catch (cause) {
      throw new Fault('NOT_FOUND', `${path}: there is no public key`, { cause })
    }
  }

  entries(query: AuditQuery, signal: AbortSignal): AsyncGenerator<AuditEntry> {
    return chosenEntries(join(this.folder, CURRENT), query, signal)
  }

  /** The same as OCSF events. */
  async *events(query: AuditQuery, signal: AbortSignal): AsyncGenerator<Readonly<Record<string, unknown>>> {
    for await (const entry of this.entries(query, signal)) yield ocsf(entry)
  }

  /**
   * The file of a recording (asciicast v2), verified against its record. `seq` null: the session is not over, so nothing vouches for it yet. Rejects with
   * NOT_FOUND, or AUDIT_BROKEN if the file differs from what was recorded.
   */
  async terminal(id: string, signal: AbortSignal): Promise<{ path: string; seq: number | null }> {
    const cast = castsIn(join(this.folder, TERMINALS)).find(({ terminal }) => terminal === id)
    if (cast === undefined) {
      throw new Fault('NOT_FOUND', `there is no recording ${JSON.stringify(id)}`, {
        hint: '`caisson audit list --kind terminal` lists them.',
      })
    }
    for await (const { terminal, sha256, seq } of this.entries({ kind: 'terminal-end' }, signal)) {
      if (terminal !== id) continue
      if ((await digestOf(cast.path)) === sha256) return { path: cast.path, seq: seq as number }
      throw new Fault('AUDIT_BROKEN', `${cast.path} is not what was recorded: record ${seq} has another hash`)
    }
    return { path: cast.path, seq: null }
  }

  /** `key`: a file with the public key; null: the one stored beside the log. Rejects with BAD_REQUEST. */
  async verify(key: string | null, signal: AbortSignal): Promise<Verified> {
    return await verifyLog(this.folder, key === null ? PublicKey.of(this.publicKey) : PublicKey.read(key), signal)
  }
}
