import type { Node } from '@vscode/tree-sitter-wasm'
import { replacedAll, unescaped } from './decoding.ts'
import { decoded, printedBy } from './shell-filters.ts'
import { field, named } from './walking.ts'

const MAX_DEPTH = 24
const MAX_TEXT = 65_536

/** An expanded word, and whether it is readable in the source. */
export interface Word {
  readonly text: string
  /** It was assembled from pieces, or decoded. */
  readonly isHidden: boolean
  /** False: a part is known only at run time, and appears as written. */
  readonly isKnown: boolean
}

const plain = (text: string): Word => ({ text: text.slice(0, MAX_TEXT), isHidden: false, isKnown: true })
const unknown = (text: string): Word => ({ text: text.slice(0, MAX_TEXT), isHidden: false, isKnown: false })

/** Expands words of a script, with the variables that it sets. */
export class ShellWords {
  readonly variables = new Map<string, string>([
    ['IFS', ' '],
    ['SHELL', '/bin/bash'],
    ['BASH', '/bin/bash'],
    ['PATH', '/usr/bin'],
  ])
  /** Variables whose values were decoded. */
  readonly decoded = new Set<string>()
  readonly lists = new Map<string, readonly string[]>()

  /** The new value of a variable: `a=b`, `a+=b`. */
  assigned(node: Node): Word {
    const word = this.word(field(node, 'value'))
    const name = field(node, 'name')?.text ?? ''
    return node.text.startsWith(`${name}+=`) ? { ...word, text: `${this.variables.get(name) ?? ''}${word.text}`.slice(0, MAX_TEXT) } : word
  }

  /** `name=value` */
  set(name: string, value: Node | null, word: Word): void {
    if (value?.type === 'array')
      this.lists.set(
        name,
        named(value).map((one) => this.word(one).text),
      )
    if (!word.isKnown) return
    this.variables.set(name, word.text)
    if (word.isHidden) this.decoded.add(name)
    else this.decoded.delete(name)
  }

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
    // Quotes in the middle of a word serve to mislead readers.
    const quotes = parts.filter(({ type }) => type === 'raw_string' || type === 'string').length
    const text = words.map((word) => word.text).join('')
    const isKnown = words.every((word) => word.isKnown)
    const isSplit = (variables > 1 || (quotes > 0 && parts.length > 1)) && /^[\w-]+$/.test(text)
    return { text: text.slice(0, MAX_TEXT), isKnown, isHidden: words.some((word) => word.isHidden) || (isKnown && isSplit) }
  }

  #expanded(node: Node): Word {
    const [, sign, name = '', index, change = ''] = /^\$\{?(!?)([A-Za-z_]\w*)(?:\[(\d+|[@*])\])?(.*?)\}?$/s.exec(node.text) ?? []
    const list = this.lists.get(name)
    const own = index === undefined ? this.variables.get(name) : index === '@' || index === '*' ? list?.join(' ') : list?.[Number(index)]
    const value = sign === '!' ? this.variables.get(own ?? '') : own
    const text = value === undefined ? null : changed(value, change)
    if (text === null) return unknown(node.text)
    return { ...plain(text), isHidden: this.decoded.has(name) || sign === '!' || change !== '' }
  }

  /** `$(echo aWQ= | base64 -d)` is `id`. */
  #substituted(node: Node, depth: number): Word {
    const [inner] = named(node)
    const known = inner === undefined ? null : this.printed(inner, depth + 1)
    return known === null
      ? unknown(node.text)
      : { text: known.text, isKnown: true, isHidden: known.isDecoded || /^(printf|echo)\b.*\\/s.test(inner?.text ?? '') }
  }

  /** The output of commands that only print and decode; null: unknown. */
  printed(node: Node, depth = 0): { text: string; isDecoded: boolean } | null {
    if (depth > MAX_DEPTH) return null
    if (node.type === 'command') {
      const fed = named(node).find(({ type }) => type === 'herestring_redirect')
      if (fed !== undefined) return this.#fed(node, fed, depth)
      const [name, ...args] = this.command(node, depth)
      if (name === undefined || !['echo', 'printf'].includes(name.text)) return null
      const words = args.filter(({ text }) => !/^-[neE]+$/.test(text))
      if (!words.every(({ isKnown }) => isKnown)) return null
      const isEscaped = name.text === 'printf' || args.some(({ text: option }) => /^-\w*e/.test(option))
      const text = printedBy(
        name.text,
        words.map((word) => word.text),
      )
      return { text: isEscaped ? unescaped(text) : text, isDecoded: words.some(({ isHidden }) => isHidden) }
    }
    if (node.type === 'subshell' || node.type === 'compound_statement') return this.printed(named(node)[0] ?? node, depth + 1)
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
  #fed(command: Node, fed: Node, depth: number): { text: string; isDecoded: boolean } | null {
    const word = this.word(named(fed)[0] ?? null, depth + 1)
    const text = word.isKnown
      ? decoded(
          word.text,
          this.command(command, depth).map((one) => one.text),
        )
      : null
    return text === null ? null : { text, isDecoded: true }
  }

  /** The name and the arguments of a command. */
  command(node: Node, depth = 0): Word[] {
    const parts = named(node).filter(
      ({ type }) => !['variable_assignment', 'file_redirect', 'herestring_redirect', 'heredoc_redirect'].includes(type),
    )
    let size = 0
    return parts.map((part) => {
      // After a size limit, words are left unexpanded: a few repeated variables would fill the memory.
      const word = size > 4 * MAX_TEXT ? unknown(part.text) : this.word(part, depth + 1)
      size += word.text.length
      return word
    })
  }
}

/** `${a:1:2}`, `${a/x/y}`, `${a//x/y}`, `${a^^}`, `${a,,}`, `${a#x}`, `${a%x}`; null: any other. */
function changed(value: string, change: string): string | null {
  if (change === '' || /^:[-=+]/.test(change)) return value
  const [, from, count] = /^:\s?(-?\d+)(?::(-?\d+))?$/.exec(change) ?? []
  if (from !== undefined) return count === undefined ? value.slice(Number(from)) : value.slice(Number(from)).slice(0, Number(count))
  if (change === '^^' || change === '@U') return value.toUpperCase()
  if (change === ',,' || change === '@L') return value.toLowerCase()
  const [, sign, what = '', by = ''] = /^(\/\/?|##?|%%?)([^*?[\]/]+)(?:\/(.*))?$/s.exec(change) ?? []
  if (sign === '//') return replacedAll(value, what, by)
  if (sign === '/') return value.replace(what, () => by)
  if (sign?.startsWith('#') === true) return value.startsWith(what) ? value.slice(what.length) : value
  return sign?.startsWith('%') === true ? (value.endsWith(what) ? value.slice(0, -what.length) : value) : null
}
