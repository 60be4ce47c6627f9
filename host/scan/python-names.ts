import type { Node } from '@vscode/tree-sitter-wasm'
import { KnownValues, MAX_DEPTH } from './known-values.ts'
import { field, named } from './walking.ts'

/** Resolves names in Python code. */
export abstract class PythonNames extends KnownValues {
  /** The full name of what is called or accessed: `os.system`, whatever its alias. `?` if unknown. */
  name(node: Node | null, depth = 0): string {
    if (node === null || depth > MAX_DEPTH) return '?'
    switch (node.type) {
      case 'identifier':
        return this.names.get(node.text) ?? node.text
      case 'attribute':
        return plain(`${this.name(field(node, 'object'), depth + 1)}.${field(node, 'attribute')?.text ?? '?'}`)
      case 'parenthesized_expression':
      case 'await':
      case 'named_expression':
        return this.name(named(node).at(-1) ?? null, depth + 1)
      case 'subscript':
        return this.#item(node, depth + 1)
      case 'call':
        return this.#result(node, depth + 1)
      case 'string':
        return 'str'
      // At run time it is one of these; either one serves.
      case 'conditional_expression':
      case 'boolean_operator':
        return (
          named(node)
            .map((one) => this.name(one, depth + 1))
            .find((name) => name !== '?') ?? '?'
        )
      default:
        return '?'
    }
  }

  #item(node: Node, depth: number): string {
    const of = this.name(field(node, 'value'), depth)
    const key = this.text(field(node, 'subscript'), depth)
    if (key === null) return `${of}[?]`
    if (/(^|\.)(modules|__globals__|func_globals|f_globals|f_locals|f_builtins|__builtins__)$|^(globals|locals|vars)\(\)$/.test(of))
      return this.names.get(key) ?? key
    if (of === '__dict__') return key
    return plain(`${of.replace(/\.__dict__$/, '')}.${key}`)
  }

  #result(node: Node, depth: number): string {
    const callee = this.name(field(node, 'function'), depth)
    const [first = null, second = null] = named(field(node, 'arguments'))
    if (/^(__import__|importlib\.(import_module|__import__)|builtins\.__import__)$/.test(callee)) return this.text(first, depth) ?? '?'
    if (callee === 'getattr') return plain(`${this.name(first, depth)}.${this.text(second, depth) ?? '?'}`)
    if (callee === 'vars') return `${this.name(first, depth)}.__dict__`
    return `${callee}()`
  }
}

const plain = (name: string): string => name.replace(/^(builtins|__builtins__)\./, '')
