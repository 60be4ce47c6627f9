import type { Node } from '@vscode/tree-sitter-wasm'
import { KnownValues, MAX_DEPTH } from './known-values.ts'
import { field, named } from './walking.ts'

/** Resolves names in JavaScript code. */
export abstract class JavaScriptNames extends KnownValues {
  /** The full name, such as `child_process.exec`, whatever its alias; `?` if unknown. */
  name(node: Node | null, depth = 0): string {
    if (node === null || depth > MAX_DEPTH) return '?'
    switch (node.type) {
      case 'identifier':
      case 'this':
      case 'super':
        return this.names.get(node.text) ?? node.text
      case 'member_expression':
        if (isFunctionMaker(node)) return 'Function'
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
    if (/(^|\.)(require|import|_load|getBuiltinModule)$/.test(callee)) return module(this.text(first, depth) ?? '?')
    if (/^(util\.)?promisify$/.test(callee)) return this.name(first, depth)
    return `${callee}()`
  }
}

export const module = (name: string): string => name.replace(/^node:/, '')

const plain = (name: string): string => name.replace(/^(globalThis|global|window|self)\.(?=\w)/, '')

/** `(async () => {}).constructor` creates functions from texts. */
function isFunctionMaker(node: Node): boolean {
  if (field(node, 'property')?.text !== 'constructor') return false
  let of = field(node, 'object')
  while (of?.type === 'parenthesized_expression') of = named(of)[0] ?? null
  if (of?.type === 'call_expression' && /^(Object|Reflect)\.getPrototypeOf$/.test(field(of, 'function')?.text ?? ''))
    of = named(field(of, 'arguments'))[0] ?? null
  return /^(arrow_function|function_expression|generator_function)$/.test(of?.type ?? '')
}
