import type { Node } from '@vscode/tree-sitter-wasm'
import { unescaped } from './decoding.ts'
import { javascriptCall, javascriptFunction, javascriptMethod } from './javascript-calls.ts'
import { JavaScriptNames } from './javascript-names.ts'
import { type Callable, isList, type Known } from './known-values.ts'
import { calculated, numberIn } from './operators.ts'
import { field, named } from './walking.ts'

/** Evaluates JavaScript expressions, as far as possible. */
export class JavaScriptValues extends JavaScriptNames {
  protected override made(node: Node, depth: number): Known | null {
    switch (node.type) {
      case 'string': {
        const text = node.text.slice(1, -1)
        return /\\x|\\u/.test(text) ? this.decoding(unescaped(text)) : unescaped(text)
      }
      case 'template_string':
        return this.#template(node, depth)
      case 'number':
        return numberIn(node.text)
      case 'parenthesized_expression':
      case 'await_expression':
      case 'as_expression':
      case 'non_null_expression':
      case 'satisfies_expression':
        return this.value(named(node)[0] ?? null, depth)
      case 'identifier':
        return this.named(node.text) ?? this.#function(node.text)
      case 'array':
        return this.#items(node, depth)
      case 'object':
        return this.#table(node, depth)
      case 'unary_expression':
        return this.#unary(field(node, 'operator')?.text ?? '', this.value(field(node, 'argument'), depth))
      case 'binary_expression':
        return this.#operated(node, depth)
      case 'null':
      case 'undefined':
        return ''
      case 'regex':
        return new Map([['regex', field(node, 'pattern')?.text ?? '']])
      case 'sequence_expression':
        return this.value(named(node).at(-1) ?? null, depth)
      case 'assignment_expression':
        return this.value(field(node, 'right'), depth)
      case 'member_expression':
        return this.#property(node, depth)
      case 'subscript_expression':
        return this.#picked(node, depth)
      case 'arrow_function':
      case 'function_expression':
        return this.function(node, depth)
      case 'call_expression':
      case 'new_expression':
        return this.#called(node, depth)
      default:
        return null
    }
  }

  /** A text with `?` for the unknown parts. */
  partly(node: Node): string {
    if (node.type !== 'binary_expression' || field(node, 'operator')?.text !== '+') return this.text(node) ?? '?'
    const whole = this.text(node)
    if (whole !== null) return whole
    const [left, right] = [field(node, 'left'), field(node, 'right')]
    return left === null || right === null ? '?' : `${this.partly(left)}${this.partly(right)}`.replace(/\?{2,}/g, '?')
  }

  /** A function that only returns an expression. */
  function(node: Node, depth = 0): Callable | null {
    const body = field(node, 'body')
    const [only, ...more] = body?.type === 'statement_block' ? named(body) : []
    const result = body?.type === 'statement_block' ? (only?.type === 'return_statement' ? (named(only)[0] ?? null) : null) : body
    if (result === null || more.length > 0) return null
    const lone = field(node, 'parameter')
    const names = lone === null ? named(field(node, 'parameters')).map((one) => (field(one, 'pattern') ?? one).text) : [lone.text]
    return (args) => {
      const given = new Map(names.flatMap((name, at) => (args[at] === undefined ? [] : [[name, args[at]] as const])))
      return this.scoped(given, () => this.value(result, depth + 1))
    }
  }

  /** Placeholders with unknown values become `?`. */
  #template(node: Node, depth: number): string {
    const holes = named(node).filter(({ type }) => type === 'template_substitution')
    let [text, from] = ['', node.startIndex + 1]
    for (const hole of holes) {
      const value = this.value(named(hole)[0] ?? null, depth)
      text += node.text.slice(from - node.startIndex, hole.startIndex - node.startIndex)
      text += typeof value === 'string' || typeof value === 'number' ? String(value) : '?'
      from = hole.endIndex
    }
    return unescaped(text + node.text.slice(from - node.startIndex, -1))
  }

  #items(node: Node, depth: number): Known | null {
    const items: Known[] = []
    for (const part of named(node)) {
      const value = this.value(part.type === 'spread_element' ? (named(part)[0] ?? null) : part, depth)
      if (value === null) return null
      if (part.type !== 'spread_element') items.push(value)
      else if (isList(value)) items.push(...value)
      else if (typeof value === 'string') items.push(...value)
    }
    return items
  }

  #table(node: Node, depth: number): Known | null {
    const table = new Map<string, Known>()
    for (const part of named(node)) {
      const key = field(part, 'key')
      const value = part.type === 'pair' ? this.value(field(part, 'value'), depth) : null
      // Unknown entries are left out.
      if (key !== null && value !== null) table.set(/^(string|number)$/.test(key.type) ? String(this.value(key, depth)) : key.text, value)
    }
    return table.size === 0 ? null : table
  }

  #unary(operator: string, of: Known | null): Known | null {
    if (typeof of !== 'number') return null
    return operator === '-' ? -of : operator === '~' ? ~of : operator === '+' ? of : null
  }

  #operated(node: Node, depth: number): Known | null {
    const operator = field(node, 'operator')?.text ?? ''
    const operands: Node[] = []
    let left: Node | null = node
    // Iterative, because a long sum is a deep left-leaning tree.
    while (left?.type === 'binary_expression' && field(left, 'operator')?.text === operator) {
      const right = field(left, 'right')
      if (right !== null) operands.unshift(right)
      left = field(left, 'left')
    }
    let whole = this.value(left, depth)
    // At run time it is one of these; either one serves.
    if (operator === '||' || operator === '??') return whole ?? this.value(operands.at(-1) ?? null, depth)
    for (const operand of operands) {
      const value = whole === null ? null : this.value(operand, depth)
      whole = whole === null || value === null ? null : combined(operator, whole, value)
    }
    return whole
  }

  #property(node: Node, depth: number): Known | null {
    const name = field(node, 'property')?.text ?? ''
    const own = this.#function(this.name(node, depth))
    if (own !== null) return own
    const of = this.value(field(node, 'object'), depth)
    if (name === 'length' && (typeof of === 'string' || isList(of))) return of.length
    return of instanceof Map ? (of.get(name) ?? null) : null
  }

  #picked(node: Node, depth: number): Known | null {
    const index = this.value(field(node, 'index'), depth)
    const of = index === null ? null : this.value(field(node, 'object'), depth)
    if (of instanceof Map) return of.get(String(index)) ?? null
    return typeof index === 'number' && (typeof of === 'string' || isList(of)) ? (of[index] ?? null) : null
  }

  #called(node: Node, depth: number): Known | null {
    const callee = field(node, node.type === 'new_expression' ? 'constructor' : 'function')
    const list = this.#items(field(node, 'arguments') ?? node, depth)
    if (!isList(list)) return null
    const args = list
    const name = this.name(callee, depth).replace(/^node:/, '')
    const method = callee?.type === 'member_expression' || callee?.type === 'subscript_expression' ? this.#methodName(callee, depth) : null
    const object = method === null || callee === null ? null : field(callee, 'object')
    // `f.apply(null, [x])`, `f.call(null, x)`
    if (method === 'apply' || method === 'call') {
      const call = this.value(object, depth)
      const given = method === 'call' ? args.slice(1) : args[1]
      return typeof call === 'function' && isList(given) ? call(given) : null
    }
    const known = javascriptCall(name, args)
    if (known !== null) return known.isDecoding ? this.decoding(known.value) : known.value
    if (method !== null) {
      const of = this.value(object, depth)
      const made = of === null ? null : javascriptMethod(of, method, args)
      return made === null ? null : made.isDecoding ? this.decoding(made.value) : made.value
    }
    const own = this.value(callee, depth)
    return typeof own === 'function' ? own(args) : null
  }

  #methodName(callee: Node, depth: number): string | null {
    return callee.type === 'member_expression' ? (field(callee, 'property')?.text ?? null) : this.text(field(callee, 'index'), depth)
  }

  #function(name: string): Callable | null {
    const call = javascriptFunction(name)
    return call === null ? null : (args) => this.decoding(call(...args))
  }
}

function combined(operator: string, left: Known, right: Known): Known | null {
  // A byte also counts as a number.
  if (operator === '^' && typeof left === 'string' && left.length === 1) return combined(operator, left.charCodeAt(0), right)
  if (operator === '^' && typeof right === 'string' && right.length === 1) return combined(operator, left, right.charCodeAt(0))
  if (operator === '+' && (typeof left === 'string' || typeof right === 'string'))
    return isPlain(left) && isPlain(right) ? String(left) + String(right) : null
  return calculated(operator, left, right)
}

const isPlain = (value: Known): value is string | number => typeof value === 'string' || typeof value === 'number'
