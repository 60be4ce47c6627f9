/** A server's certificate and key, as PEM. Read again for each connection, because it may have been renewed. */
export interface Identity {
  readonly key: string
  readonly cert: string
}
