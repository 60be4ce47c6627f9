/** What a server shows that it is who its clients look for; PEM. Read anew for each connection: it may have been renewed. */
export interface Identity {
  readonly key: string
  readonly cert: string
}
