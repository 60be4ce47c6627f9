/** Bytes of a file: the first, and how many. */
export interface Span {
  readonly offset: number
  readonly length: number
}

/** `beyond`: none of it is there. Undefined: the whole file is to be sent, as for several ranges or what does not read as one (RFC 9110, 14.2). */
export function rangeOf(header: string | undefined, size: number): Span | 'beyond' | undefined {
  const [, first = '', last = ''] = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/.exec(header ?? '') ?? []
  if (first === '' && last === '') return undefined
  // The last so many bytes.
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
