import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** Environment settings of the SDK and the CLI. Only this file in `client` reads the environment. */
export interface ClientSettings {
  /** A daemon to use, instead of this machine's or a host in this process. */
  url: string | undefined
  /** The API key for it. */
  key: string | undefined
  /** The state folder, where this machine's daemon records its address. */
  home: string
  /** The terminal type, for commands that get a terminal. */
  term: string | undefined
  /** The whole environment, for variables that the caller names. */
  environment: Readonly<Record<string, string | undefined>>
}

export function clientSettings(env: Readonly<Record<string, string | undefined>> = process.env): ClientSettings {
  return Object.freeze({
    url: env['CAISSON_URL'] || undefined,
    key: env['CAISSON_API_KEY'] || undefined,
    home: resolve(env['CAISSON_HOME'] || join(homedir(), '.caisson')),
    term: env['TERM'],
    environment: env,
  })
}

/** Restores, for child processes, what `./caisson` removed from this process's environment because Node would have read it at startup. */
export function bringAuthoritiesBack(): void {
  const { CAISSON_CA_CERTS_PUT_BY: authorities } = process.env
  if (authorities === undefined) return
  process.env['NODE_EXTRA_CA_CERTS'] = authorities
  delete process.env['CAISSON_CA_CERTS_PUT_BY']
}

/** Sets a variable of this process for an attack to look for. Returns its removal. */
export function plantVariable(name: string, value: string): () => void {
  process.env[name] = value
  return () => {
    delete process.env[name]
  }
}
