import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'
import { ocsf } from './ocsf.ts'
import { type AuditEntry, type AuditQuery, chosenEntries, isThere } from './query.ts'
import { CURRENT } from './segments.ts'
import { PublicKey } from './signing-key.ts'
import { verifyLog } from './verify.ts'
import type { Verified } from './walk.ts'

/** A log that is only read: that of a state folder, or a copy of one. */
export class AuditReading {
  readonly folder: string

  /** Throws NOT_FOUND where there is no log. */
  constructor(folder: string) {
    this.folder = folder
    if (!isThere(join(folder, CURRENT))) throw new Fault('NOT_FOUND', `${folder}: there is no audit log`)
  }

  /** PEM; whoever has it can check what this installation signed. Throws NOT_FOUND. */
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

  /** The same as events of OCSF. */
  async *events(query: AuditQuery, signal: AbortSignal): AsyncGenerator<Readonly<Record<string, unknown>>> {
    for await (const entry of this.entries(query, signal)) yield ocsf(entry)
  }

  /** `key`: a file with the public key; null: the one that lies beside the log. Rejects with BAD_REQUEST. */
  async verify(key: string | null, signal: AbortSignal): Promise<Verified> {
    return await verifyLog(this.folder, key === null ? PublicKey.of(this.publicKey) : PublicKey.read(key), signal)
  }
}
