/** What a server shows that it is who its clients look for; PEM. */
export interface Identity {
  readonly key: string
  readonly cert: string
}
