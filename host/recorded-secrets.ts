import type { Secrets } from './airlock/secrets.ts'
import type { AuditRecord } from './audit/record.ts'

/** Secrets, with each change recorded by name before it happens. */
export class RecordedSecrets {
  readonly #secrets: Secrets
  readonly #record: (record: AuditRecord) => void

  /** `record` throws if the record cannot be written. */
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

  /** Whoever can write the state folder is its operator. */
  #act(act: string, name: string): void {
    this.#record({ kind: 'act', sandbox: '', by: 'operator', act, detail: { name } })
  }
}
