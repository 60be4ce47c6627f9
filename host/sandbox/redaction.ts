/**
 * Lines of the files in which package clients and git keep credentials among settings. What only names a variable (`${NPM_TOKEN}`) is none.
 */
const CREDENTIAL =
  /(?:_auth(?:token)?|_password|password|passwd|token|secret|api[-_]?key)["']?\s*[:=]\s*["']?(?!\s*["']?$|\$\{[^}]*\}["']?\s*$)\S/i
/** `https://name:word@host`. */
const IN_ADDRESS = /\w:\/\/[^\s/@:]*:[^\s/@$]+@|\w:\/\/(?:gh[a-z]_|glpat-)[^\s/@]+@/

/** Null: there is nothing in it that has to be taken out. */
export function withoutCredentials(text: string): string | null {
  const lines = text.split('\n')
  const kept = lines.filter((line) => !CREDENTIAL.test(line) && !IN_ADDRESS.test(line))
  return kept.length === lines.length ? null : kept.join('\n')
}
