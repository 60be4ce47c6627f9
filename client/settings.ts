/** What the environment says to the SDK and the CLI; the only place in this room that reads it. */
export interface ClientSettings {
  /** A daemon to speak to, instead of a host in this process. */
  url: string | undefined
}

export function clientSettings(env: Readonly<Record<string, string | undefined>> = process.env): ClientSettings {
  const url = env['CAISSON_URL']
  return Object.freeze({ url: url === '' ? undefined : url })
}
