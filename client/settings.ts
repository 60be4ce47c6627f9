import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** What the environment says to the SDK and the CLI; the only place in this room that reads it. */
export interface ClientSettings {
  /** A daemon to speak to, instead of one of this machine or a host in this process. */
  url: string | undefined
  /** The key to show it. */
  key: string | undefined
  /** The state folder, where a daemon of this machine says where it is. */
  home: string
  /** The kind of terminal, for commands that get one. */
  term: string | undefined
  /** All of it, for variables that the caller names one by one. */
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

/** What `./caisson` took off the start of this Node, which would have read it then, is there again for what this process starts. */
export function bringAuthoritiesBack(): void {
  const { CAISSON_CA_CERTS_PUT_BY: authorities } = process.env
  if (authorities === undefined) return
  process.env['NODE_EXTRA_CA_CERTS'] = authorities
  delete process.env['CAISSON_CA_CERTS_PUT_BY']
}

/** Sets a variable of this process, for an attack to look for. The result takes it away. */
export function plantVariable(name: string, value: string): () => void {
  process.env[name] = value
  return () => {
    delete process.env[name]
  }
}
