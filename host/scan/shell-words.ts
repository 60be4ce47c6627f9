import type { Node } from '@vscode/tree-sitter-wasm'
import { fromBase64, fromHex, reversed, rot13, unescaped } from './decoding.ts'
import { field, named } from './walking.ts'

const MAX_DEPTH = 24
const MAX_TEXT = 65_536

/** A word as the shell makes it, and whether it can be read as it stands. */
export interface Word {
  readonly text: string
  /** It was put together of pieces, or decoded. */
  readonly isHidden: boolean
  /** A part of it is only known when it runs; that part stands in it as it is written. */
  readonly isKnown: boolean
}

const plain = (text: string): Word => ({ text: text.slice(0, MAX_TEXT), isHidden: false, isKnown: true })
const unknown = (text: string): Word => ({ text: text.slice(0, MAX_TEXT), isHidden: false, isKnown: false })

/** Words of a script, with the variables that it sets. */
export class ShellWords {
  readonly variables = new Map<string, string>([
    ['IFS', ' '],
    ['SHELL', '/bin/bash'],
    ['BASH', '/bin/bash'],
  ])

  word(node: Node | null, depth = 0): Word {
    if (node === null) return plain('')
    if (depth > MAX_DEPTH) return unknown(node.text)
    switch (node.type) {
      case 'command_name':
        return this.word(named(node)[0] ?? null, depth + 1)
      case 'word':
      case 'number':
      case 'variable_name':
      case 'string_content':
      case 'heredoc_body':
      case 'special_variable_name':
        return { ...plain(node.text.replace(/\\(.)/gs, '$1')), isHidden: node.type === 'word' && /[a-z]\\[a-z]/i.test(node.text) }
      case 'raw_string':
        return plain(node.text.slice(1, -1))
      case 'ansi_c_string':
        return { ...plain(unescaped(node.text.slice(2, -1))), isHidden: /\\x|\\u|\\[0-7]{2}/.test(node.text) }
      case 'string':
        return this.#string(node, depth)
      case 'concatenation':
        return this.#concatenated(node, depth)
      case 'simple_expansion':
      case 'expansion':
        return this.#expanded(node)
      case 'command_substitution':
        return this.#substituted(node, depth)
      default:
        return unknown(node.text)
    }
  }

  #string(node: Node, depth: number): Word {
    const parts = named(node)
    if (parts.length === 0) return plain(node.text.slice(1, -1))
    let [text, from, isKnown, isHidden] = ['', node.startIndex + 1, true, false]
    for (const part of parts) {
      text += node.text.slice(from - node.startIndex, part.startIndex - node.startIndex)
      const word = this.word(part, depth + 1)
      text += word.text
      isKnown &&= word.isKnown
      isHidden ||= word.isHidden
      from = part.endIndex
    }
    return { text: (text + node.text.slice(from - node.startIndex, -1)).slice(0, MAX_TEXT), isKnown, isHidden }
  }

  #concatenated(node: Node, depth: number): Word {
    const parts = named(node)
    const words = parts.map((part) => this.word(part, depth + 1))
    const variables = parts.filter(({ type }) => type === 'simple_expansion' || type === 'expansion').length
    // Quotes in the midst of a word are for those who read it.
    const quotes = parts.filter(({ type }) => type === 'raw_string' || type === 'string').length
    const text = words.map((word) => word.text).join('')
    const isKnown = words.every((word) => word.isKnown)
    const isSplit = (variables > 1 || (quotes > 0 && parts.length > 1)) && /^[\w-]+$/.test(text)
    return { text: text.slice(0, MAX_TEXT), isKnown, isHidden: words.some((word) => word.isHidden) || (isKnown && isSplit) }
  }

  #expanded(node: Node): Word {
    const [name] = /[A-Za-z_]\w*/.exec(node.text) ?? []
    const value = name === undefined || /[#%/^,@!]/.test(node.text.slice(2)) ? undefined : this.variables.get(name)
    return value === undefined ? unknown(node.text) : plain(value)
  }

  /** `$(echo aWQ= | base64 -d)` is `id`. */
  #substituted(node: Node, depth: number): Word {
    const [inner] = named(node)
    const known = inner === undefined ? null : this.printed(inner, depth + 1)
    return known === null
      ? unknown(node.text)
      : { text: known.text, isKnown: true, isHidden: known.isDecoded || /^(printf|echo)\b.*\\/s.test(inner?.text ?? '') }
  }

  /** What commands print that only print and decode; null: that is not known. */
  printed(node: Node, depth = 0): { text: string; isDecoded: boolean } | null {
    if (depth > MAX_DEPTH) return null
    if (node.type === 'command') {
      const [name, ...args] = this.command(node, depth)
      if (name === undefined || !['echo', 'printf'].includes(name.text)) return null
      const words = args.filter(({ text }) => !/^-[neE]+$/.test(text))
      if (!words.every(({ isKnown }) => isKnown)) return null
      const text = words.map((word) => word.text).join(' ')
      return {
        text: name.text === 'printf' || args.some(({ text: option }) => /^-\w*e/.test(option)) ? unescaped(text) : text,
        isDecoded: false,
      }
    }
    if (node.type === 'redirected_statement') return this.#fed(node, depth)
    if (node.type !== 'pipeline') return null
    const [first, ...stages] = named(node)
    let printed = first === undefined ? null : this.printed(first, depth + 1)
    for (const stage of stages) {
      const text =
        printed === null || stage.type !== 'command'
          ? null
          : decoded(
              printed.text,
              this.command(stage, depth).map((word) => word.text),
            )
      if (text === null) return null
      printed = { text, isDecoded: true }
    }
    return printed
  }

  /** `base64 -d <<< aWQ=` */
  #fed(node: Node, depth: number): { text: string; isDecoded: boolean } | null {
    const body = field(node, 'body')
    const fed = named(node).find(({ type }) => type === 'herestring_redirect')
    if (body?.type !== 'command' || fed === undefined) return null
    const word = this.word(named(fed)[0] ?? null, depth + 1)
    const text = word.isKnown
      ? decoded(
          word.text,
          this.command(body, depth).map((one) => one.text),
        )
      : null
    return text === null ? null : { text, isDecoded: true }
  }

  /** Name and arguments. */
  command(node: Node, depth = 0): Word[] {
    const parts = named(node).filter(
      ({ type }) => !['variable_assignment', 'file_redirect', 'herestring_redirect', 'heredoc_redirect'].includes(type),
    )
    return parts.map((part) => this.word(part, depth + 1))
  }
}

export function decoded(text: string, [name, ...args]: readonly string[]): string | null {
  const said = args.join(' ')
  if (name === 'base64' && /-\w*[dD]|--decode/.test(said)) return fromBase64(text)
  if (name === 'openssl' && /base64|enc/.test(said) && /-d/.test(said)) return fromBase64(text)
  if (name === 'xxd' && /-\w*r/.test(said)) return fromHex(text)
  if (name === 'rev') return reversed(text)
  if (name === 'tr' && /^'?\[?[A-Za-z-]*\]? ?/.test(said) && /n-za-m|N-ZA-M/i.test(said)) return rot13(text)
  return name === 'cat' || (name === 'tr' && /-d/.test(said)) ? text : null
}
