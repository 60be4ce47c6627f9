import { transform } from 'sucrase'

/** Removes the types from a source without moving lines. Throws SyntaxError. */
export function withoutTypes(code: string, path: string, to: 'esm' | 'cjs' = 'esm'): string {
  const transforms: ('typescript' | 'imports' | 'jsx')[] = to === 'cjs' ? ['typescript', 'imports'] : ['typescript']
  if (/x$/.test(path)) transforms.push('jsx')
  try {
    // An import that is unused here may be meant for the next cell.
    const options = { transforms, filePath: path, disableESTransforms: true, keepUnusedImports: true, preserveDynamicImport: true }
    const plain = transform(code, options).code
    refuseLost(code.split('\n'), plain.split('\n'))
    return plain
  } catch (cause) {
    const message = cause instanceof Error ? cause.message.replace(/^Error transforming .*?: /, '') : String(cause)
    const error = new SyntaxError(message)
    error.stack = `SyntaxError: ${message}\n    at ${path}`
    throw error
  }
}

const NAMESPACE = /^\s*(?:export\s+)?(?:namespace|module)\s+([\w$.]+)\s*\{/
const VALUE = /\b(?:const|let|var|function|class|enum)\b/

/** Rejects namespaces: the transform removes a namespace whole, so values in it would be missing where they are used, far from here. */
function refuseLost(lines: readonly string[], left: readonly string[]): void {
  lines.forEach((line, at) => {
    const [, name] = NAMESPACE.exec(line) ?? []
    if (name === undefined || left[at]?.includes(name) !== false) return
    let depth = 0
    const end = lines.findIndex((inside, place) => {
      if (place < at) return false
      depth += inside.split('{').length - inside.split('}').length
      return depth <= 0
    })
    if (!lines.slice(at, end < 0 ? undefined : end + 1).some((inside) => VALUE.test(inside))) return
    throw new SyntaxError(`namespace ${name} (${at + 1}): namespaces with values are not carried out here; use an object or a module`)
  })
}

export function isTypeScript(path: string): boolean {
  return /\.(?:[cm]?ts|tsx)$/.test(path)
}
