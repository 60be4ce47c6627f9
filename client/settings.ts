/** What the environment says to the SDK and the CLI; the only place in this room that reads it. */
export interface ClientSettings {
  /** A daemon to speak to, instead of a host in this process. */
  url: string | undefined
  /** The kind of terminal, for commands that get one. */
  term: string | undefined
  /** All of it, for variables that the caller names one by one. */
  environment: Readonly<Record<string, string | undefined>>
}

export function clientSettings(env: Readonly<Record<string, string | undefined>> = process.env): ClientSettings {
  const url = env['CAISSON_URL']
  return Object.freeze({ url: url === '' ? undefined : url, term: env['TERM'], environment: env })
}
