import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bind, Plan } from '@caisson/wire'
import type { Trust } from '../airlock/exits.ts'
import type { Template } from '../templates/template.ts'

const BUNDLE = '/caisson/trust/bundle.pem'
const AUTHORITY = '/caisson/trust/ca.pem'
/** Stores that programs use which read no environment variable, on the systems that a template may come from. */
export const SYSTEM_STORES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem']

/** Java's stores: those of its packages link here. */
export const JAVA_STORES = ['/etc/ssl/certs/java/cacerts', '/etc/pki/ca-trust/extracted/java/cacerts']

/** Environment variables for programs that replace their trusted certificates (`bundle`), and for those that add to them (`authority`). */
export function variablesFor({ bundle, authority }: { bundle: string; authority: string }): Readonly<Record<string, string>> {
  return {
    SSL_CERT_FILE: bundle,
    REQUESTS_CA_BUNDLE: bundle,
    CURL_CA_BUNDLE: bundle,
    PIP_CERT: bundle,
    GIT_SSL_CAINFO: bundle,
    CARGO_HTTP_CAINFO: bundle,
    AWS_CA_BUNDLE: bundle,
    GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: bundle,
    NODE_EXTRA_CA_CERTS: authority,
    DENO_CERT: authority,
  }
}

/** The certificates that a sandbox is shown. `stores`: the system stores that its template has. */
export interface ShownTrust extends Trust {
  readonly stores: readonly string[]
  readonly javaStores: readonly string[]
}

export async function shownTrust(trust: Trust | null, template: Pick<Template, 'binds'>): Promise<ShownTrust | null> {
  if (trust === null) return null
  const etc = template.binds.find(({ target }) => target === '/etc')?.source
  const there = async (paths: readonly string[]) => {
    const found = await Promise.all(paths.map((path) => etc !== undefined && isFile(join(etc, path.slice('/etc/'.length)))))
    return paths.filter((_, index) => found[index])
  }
  return { ...trust, stores: await there(SYSTEM_STORES), javaStores: await there(JAVA_STORES) }
}

export function trustBinds(trust: ShownTrust | null): Bind[] {
  if (trust === null) return []
  const bundles = [BUNDLE, ...trust.stores].map((target): Bind => ({ source: trust.bundlePath, target, mode: 'ro' }))
  const java = trust.javaStores.map((target): Bind => ({ source: trust.javaPath, target, mode: 'ro' }))
  return [...bundles, ...java, { source: trust.certPath, target: AUTHORITY, mode: 'ro' }]
}

/** Whether it was created to trust the inspecting gate. */
export function doesTrust({ binds }: Plan): boolean {
  return binds.some(({ target }) => target === AUTHORITY)
}

/** The variables for a sandbox with this plan. */
export function trustVariables({ binds }: Plan): Readonly<Record<string, string>> {
  return binds.some(({ target }) => target === BUNDLE) ? variablesFor({ bundle: BUNDLE, authority: AUTHORITY }) : {}
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile()
  } catch {
    // Whatever this is, it cannot be mounted over.
    return false
  }
}
