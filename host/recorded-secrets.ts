import type { Secrets } from './airlock/secrets.ts'
import type { AuditRecord } from './audit/record.ts'

/** Secrets whose changes are recorded before they happen, by their names alone. */
export class RecordedSecrets {
  readonly #secrets: Secrets
  readonly #record: (record: AuditRecord) => void

  /** `record` throws what a record that cannot be written throws. */
  constructor(secrets: Secrets, record: (record: AuditRecord) => void) {
    this.#secrets = secrets
    this.#record = record
  }

  names(): Promise<string[]> {
    return this.#secrets.names()
  }

  async set(name: string, value: string): Promise<void> {
    this.#act('secret.set', name)
    await this.#secrets.set(name, value)
  }

  async remove(name: string): Promise<void> {
    this.#act('secret.remove', name)
    await this.#secrets.remove(name)
  }

  /** Whoever may write the state folder is its operator. */
  #act(act: string, name: string): void {
    this.#record({ kind: 'act', sandbox: '', by: 'operator', act, detail: { name } })
  }
}
