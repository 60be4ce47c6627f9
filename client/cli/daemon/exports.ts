import { dirname, join } from 'node:path'

/** Where a daemon is, and what it takes to use it. */
export interface Reach {
  url: string
  key: string
  domain: string | null
  /** Of the certificate to trust, where there is TLS. */
  caPath: string | null
}

/**
 * The variables that E2B's SDKs read. With a certificate, names below the domain lead to it too, where they resolve; its own address always does.
 * SSL_CERT_FILE replaces what a program trusts: beside the certificate lies it with all the others.
 */
export function exportsOf({ url, key, domain, caPath }: Reach): Record<string, string> {
  const reach = { E2B_API_URL: url, E2B_SANDBOX_URL: url, E2B_API_KEY: key }
  if (caPath === null || domain === null) return reach
  const { port } = new URL(url)
  const place = port === '' || domain.includes(':') ? domain : `${domain}:${port}`
  return { E2B_DOMAIN: place, ...reach, NODE_EXTRA_CA_CERTS: caPath, SSL_CERT_FILE: join(dirname(caPath), 'bundle.pem') }
}

/** For `eval`. */
export function exportLines(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}=${quoted(value)}\n`)
    .join('')
}

function quoted(value: string): string {
  return /^[\w.:/@%+-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`
}
