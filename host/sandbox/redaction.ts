/** Lines with credentials in the configuration files of package clients and git. A reference to a variable (`${NPM_TOKEN}`) is no credential. */
const CREDENTIAL =
  /(?:_auth(?:token)?|_password|password|passwd|token|secret|api[-_]?key)["']?\s*[:=]\s*["']?(?!\s*["']?$|\$\{[^}]*\}["']?\s*$)\S/i
/** A credential in a URL: `https://name:word@host`. */
const IN_ADDRESS = /\w:\/\/[^\s/@:]*:[^\s/@$]+@|\w:\/\/(?:gh[a-z]_|glpat-)[^\s/@]+@/

/** The text without credentials; null: it has none. */
export function withoutCredentials(text: string): string | null {
  const lines = text.split('\n')
  const kept = lines.filter((line) => !CREDENTIAL.test(line) && !IN_ADDRESS.test(line))
  return kept.length === lines.length ? null : kept.join('\n')
}
