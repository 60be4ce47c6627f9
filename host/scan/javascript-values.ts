import type { Node } from '@vscode/tree-sitter-wasm'
import { character, fromBase64, fromHex, unescaped } from './decoding.ts'
import { characterCodes, KnownValues, MAX_DEPTH } from './known-values.ts'
import { field, named } from './walking.ts'

/** Names and texts of JavaScript code. */
export class JavaScriptValues extends KnownValues {
  protected override made(node: Node, depth: number): string | null {
    switch (node.type) {
      case 'string':
        return unescaped(node.text.slice(1, -1))
      case 'template_string':
        return this.#template(node, depth)
      case 'parenthesized_expression':
      case 'await_expression':
      case 'as_expression':
      case 'non_null_expression':
        return this.text(named(node)[0] ?? null, depth)
      case 'identifier':
        return this.texts.get(node.text) ?? null
      case 'binary_expression': {
        if (field(node, 'operator')?.text !== '+') return null
        const [left, right] = [this.text(field(node, 'left'), depth), this.text(field(node, 'right'), depth)]
        return left === null || right === null ? null : left + right
      }
      case 'call_expression':
        return this.#called(node, depth)
      default:
        return null
    }
  }

  /** What a hole holds is `?` where it is not known. */
  #template(node: Node, depth: number): string {
    const holes = named(node).filter(({ type }) => type === 'template_substitution')
    let [text, from] = ['', node.startIndex + 1]
    for (const hole of holes) {
      text += node.text.slice(from - node.startIndex, hole.startIndex - node.startIndex)
      text += this.text(named(hole)[0] ?? null, depth) ?? '?'
      from = hole.endIndex
    }
    return unescaped(text + node.text.slice(from - node.startIndex, -1))
  }

  #called(node: Node, depth: number): string | null {
    const callee = field(node, 'function')
    const args = named(field(node, 'arguments'))
    const [first = null, second = null] = args
    const name = this.name(callee, depth)
    if (callee?.type === 'member_expression') {
      const method = field(callee, 'property')?.text ?? ''
      const object = field(callee, 'object')
      const known = this.#method(method, object, args, depth)
      if (known !== null) return known
    }
    if (/^(os\.)?homedir$/.test(name)) return '~'
    if (name === 'String.fromCharCode') return numbers(args.map((arg) => arg.text))
    const inner = this.text(first, depth)
    if (inner === null) return null
    if (name === 'atob') return fromBase64(inner)
    if (name === 'Buffer.from') {
      const coding = this.text(second, depth) ?? 'utf8'
      return coding === 'base64' ? fromBase64(inner) : coding === 'hex' ? fromHex(inner) : inner
    }
    if (name === 'decodeURIComponent' || name === 'unescape') return percent(inner)
    if (/^(path\.|node:path\.)?(join|resolve)$/.test(name)) {
      const parts = args.map((arg) => this.text(arg, depth))
      return parts.some((part) => part === null) ? null : parts.join('/')
    }
    return null
  }

  #method(method: string, object: Node | null, args: readonly Node[], depth: number): string | null {
    const [first = null, second = null] = args
    if (method === 'join') {
      const by = first === null ? ',' : this.text(first, depth)
      const pieces = this.#pieces(object, depth)
      return by === null || pieces === null ? null : pieces.join(by)
    }
    const of = this.text(object, depth)
    if (of === null) return null
    if (['toString', 'trim', 'toLowerCase', 'toUpperCase', 'valueOf', 'normalize'].includes(method)) return of
    if (method === 'concat') {
      const more = args.map((arg) => this.text(arg, depth))
      return more.some((one) => one === null) ? null : of + more.join('')
    }
    if (method === 'replace' || method === 'replaceAll') {
      const [from, to] = [this.text(first, depth), this.text(second, depth)]
      return from === null || to === null || from === '' ? null : of.replaceAll(from, to)
    }
    return null
  }

  /** Of a list that is joined: written out, or a text that was split and turned round. */
  #pieces(node: Node | null, depth: number): string[] | null {
    if (node === null || depth > MAX_DEPTH) return null
    if (node.type === 'array') {
      const texts = named(node).map((one) => this.text(one, depth + 1))
      return texts.some((text) => text === null) ? null : (texts as string[])
    }
    const callee = node.type === 'call_expression' ? field(node, 'function') : null
    const method = callee === null ? '' : (field(callee, 'property')?.text ?? '')
    if (method === 'reverse') return this.#pieces(field(callee as Node, 'object'), depth + 1)?.reverse() ?? null
    if (method === 'split') return [...(this.text(field(callee as Node, 'object'), depth + 1) ?? '')]
    if (method === 'map' && /fromCharCode/.test(node.text)) {
      const list = field(callee as Node, 'object')
      const text = list?.type === 'array' ? numbers(named(list).map((one) => one.text)) : null
      return text === null ? null : [text]
    }
    return null
  }

  /** `child_process.exec`, whatever way it was come by; `?` where it is not known. */
  name(node: Node | null, depth = 0): string {
    if (node === null || depth > MAX_DEPTH) return '?'
    switch (node.type) {
      case 'identifier':
      case 'this':
      case 'super':
        return this.names.get(node.text) ?? node.text
      case 'member_expression':
        return plain(`${this.name(field(node, 'object'), depth + 1)}.${field(node, 'property')?.text ?? '?'}`)
      case 'subscript_expression':
        return plain(`${this.name(field(node, 'object'), depth + 1)}.${this.text(field(node, 'index'), depth + 1) ?? '?'}`)
      case 'parenthesized_expression':
      case 'await_expression':
      case 'sequence_expression':
      case 'non_null_expression':
      case 'as_expression':
        return this.name(named(node).at(node.type === 'as_expression' ? 0 : -1) ?? null, depth + 1)
      case 'call_expression':
        return this.#result(node, depth + 1)
      case 'new_expression':
        return `${this.name(field(node, 'constructor'), depth + 1)}()`
      default:
        return node.type === 'import' ? 'import' : '?'
    }
  }

  #result(node: Node, depth: number): string {
    const callee = this.name(field(node, 'function'), depth)
    const [first = null] = named(field(node, 'arguments'))
    if (/(^|\.)(require|import|_load)$/.test(callee)) return module(this.text(first, depth) ?? '?')
    if (/^(util\.)?promisify$/.test(callee)) return this.name(first, depth)
    return `${callee}()`
  }
}

export const module = (name: string): string => name.replace(/^node:/, '')

const plain = (name: string): string => name.replace(/^(globalThis|global|window|self)\.(?=\w)/, '')

function numbers(texts: readonly string[]): string | null {
  return (
    characterCodes(texts)
      ?.map((code) => character(code) ?? '?')
      .join('') ?? null
  )
}

function percent(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
