/** A byte range: first byte and length. */
export interface Span {
  readonly offset: number
  readonly length: number
}

/** `beyond`: outside the file. Undefined: send the whole file, as for multiple or malformed ranges (RFC 9110, 14.2). */
export function rangeOf(header: string | undefined, size: number): Span | 'beyond' | undefined {
  const [, first = '', last = ''] = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/.exec(header ?? '') ?? []
  if (first === '' && last === '') return undefined
  // A suffix range: the last N bytes.
  if (first === '') {
    const length = Math.min(Number(last), size)
    return length === 0 ? 'beyond' : { offset: size - length, length }
  }
  const offset = Number(first)
  if (last !== '' && Number(last) < offset) return undefined
  if (offset >= size) return 'beyond'
  const end = last === '' ? size : Math.min(Number(last) + 1, size)
  return { offset, length: end - offset }
}
