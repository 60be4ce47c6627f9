import { z } from 'zod'
import { covers, type PathGlob, readGlob, readPath } from './paths.ts'

/** An HTTP request in the form in which it is judged. */
export interface HttpRequest {
  readonly scheme: 'http' | 'https'
  /** All methods that a server may see: the request's own, and any override header (X-HTTP-Method-Override). */
  readonly methods: readonly string[]
  /** Includes the query, which is not judged. */
  readonly path: string
}

/** A rule's constraints on requests; null: any. */
export interface RequestScope {
  readonly scheme: 'http' | 'https' | null
  readonly methods: readonly string[] | null
  readonly paths: readonly PathGlob[] | null
}

const Method = z.string().regex(/^[A-Z][A-Z0-9-]{0,31}$/, 'is no method: GET, POST, ...')
const Path = z
  .string()
  .max(300)
  .transform((text, context) => {
    const read = readGlob(text)
    if (!('refused' in read)) return read
    context.addIssue(`${JSON.stringify(text)} is no path: ${read.refused}`)
    return z.NEVER
  })

/** Fields of a rule. */
export const RequestFields = {
  scheme: z.enum(['http', 'https']).optional(),
  methods: z.array(Method).min(1).max(32).optional(),
  /** `/v1/models`, `/v1/*`, `/v1/**`. */
  paths: z.array(Path).min(1).max(100).optional(),
}

const WRITTEN = /^(?:([A-Z][A-Z0-9-]*(?:\|[A-Z][A-Z0-9-]*)*) )?(https?):\/\/([^/?#]+)(\/[^ ]*)?$/

/** Splits `GET|HEAD https://api.example.com/v1/**` into its parts. Null: not of this form. */
export function readWritten(text: string): { methods?: string[]; scheme: 'http' | 'https'; host: string; path?: string } | null {
  const [, methods, scheme, host, path] = WRITTEN.exec(text) ?? []
  if (scheme === undefined || host === undefined) return null
  return {
    scheme: scheme === 'http' ? 'http' : 'https',
    host,
    ...(methods === undefined ? {} : { methods: methods.split('|') }),
    ...(path === undefined ? {} : { path }),
  }
}

export function scopeText({ scheme, methods, paths }: RequestScope, host: string): string {
  const where = `${scheme === null ? '' : `${scheme}://`}${host}`
  const what = `${methods === null ? '' : `${methods.join('|')} `}${where}`
  const [first, ...others] = paths ?? []
  if (first === undefined) return what
  return others.length === 0 && scheme !== null ? `${what}${first.text}` : `${what} ${[first, ...others].map(({ text }) => text).join(' ')}`
}

/** Whether an allow rule covers the request under every interpretation by a server. */
export function permits({ scheme, methods, paths }: RequestScope, request: HttpRequest): boolean {
  if (scheme !== null && scheme !== request.scheme) return false
  if (methods !== null && request.methods.some((method) => !methods.includes(method))) return false
  if (paths === null) return true
  const path = readPath(request.path)
  return 'segments' in path && paths.some((glob) => covers(glob, path.segments, false))
}

/** Whether a deny rule covers the request under any interpretation by a server. */
export function forbids({ scheme, methods, paths }: RequestScope, request: HttpRequest): boolean {
  if (scheme !== null && scheme !== request.scheme) return false
  if (methods !== null && !request.methods.some((method) => methods.includes(method.toUpperCase()))) return false
  if (paths === null) return true
  const path = readPath(request.path)
  return 'refused' in path || paths.some((glob) => covers(glob, path.segments, true))
}
