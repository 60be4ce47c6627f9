/** What has to survive a restart: documents of a few kinds. Small on purpose, so that any database can keep it. */
export interface Store extends AsyncDisposable {
  /** Writes it whole, new or not. On return it survives the end of this process. Rejects with STORE_UNUSABLE. */
  put(kind: Kind, id: string, document: unknown): Promise<void>
  /** One that is not there is no error. */
  remove(kind: Kind, id: string): Promise<void>
  /** In the order of their ids. */
  all(kind: Kind): Promise<Stored[]>
}

export type Kind = 'sandbox' | 'snapshot' | 'key' | 'tag' | 'replay' | 'quota'

export interface Stored {
  id: string
  document: unknown
}
