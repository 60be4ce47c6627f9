import { dirname, join } from 'node:path'

/** Where a daemon is, and what is needed to use it. */
export interface Reach {
  url: string
  key: string
  domain: string | null
  /** Path of the certificate to trust, if the daemon uses TLS. */
  caPath: string | null
}

/**
 * The variables that E2B's SDKs read. With a certificate, names below the domain lead to the daemon too, where they resolve; its own address always does.
 * SSL_CERT_FILE replaces a program's trust store, so it names a file that holds this certificate and all the others.
 */
export function exportsOf({ url, key, domain, caPath }: Reach): Record<string, string> {
  const reach = { E2B_API_URL: url, E2B_SANDBOX_URL: url, E2B_API_KEY: key }
  if (caPath === null || domain === null) return reach
  const { port } = new URL(url)
  const place = port === '' || domain.includes(':') ? domain : `${domain}:${port}`
  return { E2B_DOMAIN: place, ...reach, NODE_EXTRA_CA_CERTS: caPath, SSL_CERT_FILE: join(dirname(caPath), 'bundle.pem') }
}

/** In a form for the shell's `eval`. */
export function exportLines(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}=${quoted(value)}\n`)
    .join('')
}

function quoted(value: string): string {
  return /^[\w.:/@%+-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`
}
