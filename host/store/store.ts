/** What has to survive a restart: documents of a few kinds. The interface is deliberately small, so that any database can implement it. */
export interface Store extends AsyncDisposable {
  /** Inserts or replaces a document. On return it survives the end of this process. Rejects with STORE_UNUSABLE. */
  put(kind: Kind, id: string, document: unknown): Promise<void>
  /** A missing document is no error. */
  remove(kind: Kind, id: string): Promise<void>
  /** Ordered by id. */
  all(kind: Kind): Promise<Stored[]>
}

export type Kind = 'sandbox' | 'snapshot' | 'key' | 'tag' | 'replay' | 'quota'

export interface Stored {
  id: string
  document: unknown
}
