const MAX_NAME = 253
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/
const NUMBER = /^(?:\d+|0x[0-9a-f]*)$/

/** Problems with the characters of a name, most informative first. */
const REFUSALS: readonly (readonly [RegExp, string])[] = [
  // JavaScript would match the whole name, while a C resolver stops at the NUL: two different hosts.
  [/\0/, 'it has a NUL byte in it'],
  [/[\r\n]/, 'it has a line break in it'],
  [/%/, 'it has a percent sign in it: names are not percent-decoded'],
  [/[^\x20-\x7e]/, 'it has characters beyond ASCII in it: write an international name as xn--...'],
]

export type ReadName = { readonly name: string } | { readonly refused: string }

/** Converts to lower case and removes one trailing dot. Refused unless each label consists of letters, digits, hyphens and underscores. */
export function normaliseName(text: string): ReadName {
  for (const [sign, refused] of REFUSALS) if (sign.test(text)) return { refused }
  const name = text.toLowerCase().replace(/\.$/, '')
  if (name === '') return { refused: 'it is empty' }
  if (name.length > MAX_NAME) return { refused: `it is longer than ${MAX_NAME} characters` }
  const labels = name.split('.')
  const wrong = labels.find((label) => !LABEL.test(label))
  if (wrong !== undefined) {
    return {
      refused: `its label ${JSON.stringify(wrong)} is not 1 to 63 letters, digits, hyphens and underscores, with no hyphen at its ends`,
    }
  }
  if (endsInNumber(name)) return { refused: 'it looks like an address: connect to the address itself, in its usual form' }
  return { name }
}

/** Whether inet_aton would accept it as an address (127.1, 0x7f.1, 2130706433). No top-level domain is a number. */
export function endsInNumber(name: string): boolean {
  return NUMBER.test(name.toLowerCase().replace(/\.$/, '').split('.').at(-1) ?? '')
}
