import { transform } from 'sucrase'

/** Takes the types out of a source. Lines stay where they are. Throws SyntaxError. */
export function withoutTypes(code: string, path: string, to: 'esm' | 'cjs' = 'esm'): string {
  const transforms: ('typescript' | 'imports' | 'jsx')[] = to === 'cjs' ? ['typescript', 'imports'] : ['typescript']
  if (/x$/.test(path)) transforms.push('jsx')
  try {
    // An import that this source does not use may be meant for the next cell.
    return transform(code, { transforms, filePath: path, disableESTransforms: true, keepUnusedImports: true, preserveDynamicImport: true })
      .code
  } catch (cause) {
    const message = cause instanceof Error ? cause.message.replace(/^Error transforming .*?: /, '') : String(cause)
    const error = new SyntaxError(message)
    error.stack = `SyntaxError: ${message}\n    at ${path}`
    throw error
  }
}

export function isTypeScript(path: string): boolean {
  return /\.(?:[cm]?ts|tsx)$/.test(path)
}
