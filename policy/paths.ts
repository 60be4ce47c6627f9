const MAX_PATH = 8192

/** Path segments, percent-decoded once. A trailing slash is dropped: `/a/` and `/a` are the same. */
export type ReadPath = { readonly segments: readonly string[] } | { readonly refused: string }

const REFUSALS: readonly (readonly [RegExp, string])[] = [
  [/^[^/]/, 'it does not begin with a slash'],
  [/[^\x21-\x7e]/, 'it has characters in it that no URL has'],
  [/\\/, 'it has a backslash in it, which some servers take for a slash'],
  [/#/, 'it has a # in it'],
  [/;/, 'it has a semicolon in it, behind which servers see different things'],
]

const DECODED_REFUSALS: readonly (readonly [RegExp, string])[] = [
  [/[/\\]/, 'it has an encoded slash in it'],
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for.
  [/[\0-\x1f\x7f]/, 'it has an encoded control character in it'],
  [/;/, 'it has an encoded semicolon in it'],
  [/%[0-9a-f]{2}/i, 'it is encoded twice'],
  [/^\.\.?$/, 'it has . or .. for a segment'],
]

/** Parses a request's path, without its query. Paths that servers could interpret differently are refused, since no rule can judge them. */
export function readPath(target: string): ReadPath {
  const [path = ''] = target.split('?')
  if (path.length > MAX_PATH) return { refused: `it is longer than ${MAX_PATH} characters` }
  for (const [sign, refused] of REFUSALS) if (sign.test(path)) return { refused }
  const segments: string[] = []
  for (const written of path.slice(1).split('/')) {
    const segment = decoded(written)
    if (segment === null) return { refused: 'its percent-encoding is none' }
    for (const [sign, refused] of DECODED_REFUSALS) if (sign.test(segment)) return { refused }
    segments.push(segment)
  }
  if (segments.at(-1) === '') segments.pop()
  return segments.includes('') ? { refused: 'it has an empty segment in it' } : { segments }
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    // Not UTF-8, or malformed percent-encoding.
    return null
  }
}

/** A pattern such as `/v1/a*`: `*` matches anything within a segment; `**` as a whole segment matches any number of segments, including none. */
export interface PathGlob {
  readonly text: string
  readonly segments: readonly string[]
}

export function readGlob(text: string): PathGlob | { readonly refused: string } {
  const read = readPath(text)
  if ('refused' in read) return read
  if (text.includes('?')) return { refused: 'it has a ? in it: queries are not part of a path' }
  const wrong = read.segments.find((segment) => segment.includes('**') && segment !== '**')
  if (wrong !== undefined) return { refused: '** stands alone in its segment' }
  return { text, segments: read.segments }
}

/** `isLoose`: ignore case, as some servers do. */
export function covers(glob: PathGlob, path: readonly string[], isLoose: boolean): boolean {
  const fold = (text: string) => (isLoose ? text.toLowerCase() : text)
  return matches(glob.segments.map(fold), path.map(fold), (part) => part === '**', segmentCovers)
}

function segmentCovers(pattern: string, segment: string): boolean {
  return matches(
    [...pattern],
    [...segment],
    (part) => part === '*',
    (one, other) => one === other,
  )
}

/** Matches wildcards with backtracking to the last one only, so that the time is at most pattern length times text length. */
function matches(
  pattern: readonly string[],
  text: readonly string[],
  isWild: (part: string) => boolean,
  equal: (part: string, other: string) => boolean,
): boolean {
  let [at, from, back, resume] = [0, 0, -1, 0]
  while (from < text.length) {
    const part = pattern[at]
    if (part !== undefined && isWild(part)) {
      back = at
      resume = from
      at += 1
    } else if (part !== undefined && equal(part, text[from] ?? '')) {
      at += 1
      from += 1
    } else if (back >= 0) {
      at = back + 1
      resume += 1
      from = resume
    } else return false
  }
  while (at < pattern.length && isWild(pattern[at] ?? '')) at += 1
  return at === pattern.length
}
