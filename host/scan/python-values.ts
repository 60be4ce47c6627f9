import type { Node } from '@vscode/tree-sitter-wasm'
import { repeated, unescaped } from './decoding.ts'
import { type Callable, isList, type Known, MAX_DEPTH } from './known-values.ts'
import { calculated, numberIn, sliced } from './operators.ts'
import { itemsOf, pythonCall, pythonFunction, pythonMethod } from './python-calls.ts'
import { percentFormatted } from './python-formats.ts'
import { PythonNames } from './python-names.ts'
import { field, named } from './walking.ts'

const MAX_TURNS = 4096

/** Evaluates Python expressions, as far as possible. */
export class PythonValues extends PythonNames {
  protected override made(node: Node, depth: number): Known | null {
    switch (node.type) {
      case 'string':
        return this.#literal(node, depth)
      case 'concatenated_string':
        return this.all(named(node), depth)?.join('') ?? null
      case 'integer':
      case 'float':
        return numberIn(node.text)
      case 'parenthesized_expression':
      case 'await':
        return this.value(named(node)[0] ?? null, depth)
      case 'named_expression':
        return this.value(field(node, 'value'), depth)
      case 'identifier':
        return this.named(node.text) ?? this.#function(node.text)
      case 'attribute': {
        const own = this.named(node.text)
        const name = this.name(node, depth)
        if (own !== null) return own
        return /^os\.(path\.)?sep$/.test(name) ? '/' : /^string\.ascii_/.test(name) ? alphabet(name) : this.#function(name)
      }
      case 'list':
      case 'tuple':
      case 'set':
      case 'expression_list':
        return this.#items(node, depth)
      case 'dictionary':
        return this.#table(node, depth)
      case 'unary_operator': {
        const of = this.value(field(node, 'argument'), depth)
        if (typeof of !== 'number') return null
        return node.text.startsWith('-') ? -of : node.text.startsWith('~') ? ~of : of
      }
      case 'binary_operator':
        return this.#operated(node, depth)
      case 'subscript':
        return this.#picked(node, depth)
      case 'lambda':
        return this.#lambda(field(node, 'parameters'), field(node, 'body'), depth)
      case 'list_comprehension':
      case 'generator_expression':
      case 'set_comprehension':
        return this.#comprehended(node, depth)
      case 'call':
        return this.#called(node, depth)
      default:
        return null
    }
  }

  /** A text with `?` for the unknown parts. */
  partly(node: Node): string {
    const whole = this.text(node)
    if (whole !== null || node.type !== 'binary_operator' || field(node, 'operator')?.text !== '+') return whole ?? '?'
    const [left, right] = [field(node, 'left'), field(node, 'right')]
    return left === null || right === null ? '?' : `${this.partly(left)}${this.partly(right)}`.replace(/\?{2,}/g, '?')
  }

  /** A function in the code that only returns an expression. */
  define(name: string, parameters: Node | null, body: Node | null): void {
    const [only, ...more] = named(body).filter(({ type }) => !/^(comment|import)/.test(type))
    if (only?.type !== 'return_statement' || more.length > 0) return
    const call = this.#lambda(parameters, named(only)[0] ?? null, 0)
    if (call !== null) this.values.set(name, call)
  }

  /** Placeholders of an f-string with unknown values become `?`. */
  #literal(node: Node, depth: number): string {
    const raw = /^[bfu]*r/i.test(named(node)[0]?.text ?? '')
    return named(node)
      .map((part) => {
        if (part.type === 'string_content') return raw ? part.text : unescaped(part.text)
        return part.type === 'interpolation' ? this.#hole(part, depth) : ''
      })
      .join('')
  }

  #hole(part: Node, depth: number): string {
    const value = this.value(named(part)[0] ?? null, depth)
    const way = named(part).find(({ type }) => type === 'format_specifier')?.text
    if (way === ':c' && typeof value === 'number') return this.decoding(String.fromCodePoint(value & 0xffff)) ?? '?'
    return typeof value === 'string' || typeof value === 'number' ? String(value) : '?'
  }

  #items(node: Node, depth: number): Known | null {
    const items: Known[] = []
    for (const part of named(node)) {
      const value = this.value(part.type === 'list_splat' ? (named(part)[0] ?? null) : part, depth)
      if (value === null) return null
      if (part.type === 'list_splat') items.push(...(itemsOf(value) ?? []))
      else items.push(value)
    }
    return items
  }

  #table(node: Node, depth: number): Known | null {
    const table = new Map<string, Known>()
    for (const part of named(node)) {
      const [key, value] = [this.value(field(part, 'key'), depth), this.value(field(part, 'value'), depth)]
      if (key === null || value === null) return null
      table.set(String(key), value)
    }
    return table
  }

  #operated(node: Node, depth: number): Known | null {
    const operator = field(node, 'operator')?.text ?? ''
    const operands: Node[] = []
    let left: Node | null = node
    // Iterative, because a long sum is a deep left-leaning tree.
    while (left?.type === 'binary_operator' && field(left, 'operator')?.text === operator) {
      const right = field(left, 'right')
      if (right !== null) operands.unshift(right)
      left = field(left, 'left')
    }
    let whole = this.value(left, depth)
    for (const operand of operands) {
      const value = whole === null ? null : this.value(operand, depth)
      whole = whole === null || value === null ? null : this.#combined(operator, whole, value)
    }
    return whole
  }

  #combined(operator: string, left: Known, right: Known): Known | null {
    // A byte also counts as a number.
    if ('^-+&|'.includes(operator) && typeof left === 'string' && left.length === 1 && typeof right === 'number')
      return calculated(operator, left.charCodeAt(0), right)
    if (operator === '^' && typeof left === 'string' && typeof right === 'string' && left.length === 1 && right.length === 1)
      return left.charCodeAt(0) ^ right.charCodeAt(0)
    if (operator === '+' && typeof left === 'string' && typeof right === 'string') return left + right
    if (operator === '+' && isList(left) && isList(right)) return [...left, ...right]
    if (operator === '*' && typeof left === 'string' && typeof right === 'number') return repeated(left, Math.max(0, right))
    if (operator === '%' && typeof left === 'string') return percentFormatted(left, right)
    // The path operator of pathlib.
    if (operator === '/' && typeof left === 'string' && typeof right === 'string') return `${left.replace(/\/$/, '')}/${right}`
    return calculated(operator, left, right)
  }

  #picked(node: Node, depth: number): Known | null {
    const [key] = node.childrenForFieldName('subscript')
    const of = this.value(field(node, 'value'), depth)
    if (of === null || key === undefined || key === null) return null
    if (key.type === 'slice') {
      const parts = key.text.split(':').map((part) => (part.trim() === '' ? null : Number(part)))
      if (parts.some((part) => part !== null && !Number.isInteger(part))) return null
      const [from = null, to = null, step = null] = parts
      const result = sliced(of, from, to, step ?? 1)
      return step === null ? result : this.decoding(result)
    }
    const index = this.value(key, depth)
    if (of instanceof Map) return index === null ? null : (of.get(String(index)) ?? null)
    const items = itemsOf(of)
    return typeof index === 'number' ? (items?.at(index) ?? null) : null
  }

  #lambda(parameters: Node | null, body: Node | null, depth: number): Callable | null {
    const names = named(parameters).map((one) => (one.type === 'identifier' ? one : (field(one, 'name') ?? named(one)[0]))?.text ?? '')
    if (body === null) return null
    return (args) => {
      const given = new Map(names.flatMap((name, at) => (args[at] === undefined ? [] : [[name, args[at]] as const])))
      return this.scoped(given, () => this.value(body, depth + 1))
    }
  }

  #comprehended(node: Node, depth: number): Known | null {
    const [body = null, ...clauses] = named(node)
    const result: Known[] = []
    const isWhole = this.#turns(body, clauses, depth, result)
    return isWhole ? result : null
  }

  #turns(body: Node | null, [clause, ...rest]: readonly Node[], depth: number, result: Known[]): boolean {
    if (clause === undefined) {
      const value = this.value(body, depth)
      if (value === null || result.length >= MAX_TURNS) return false
      result.push(value)
      return true
    }
    // Conditions are assumed to be true.
    if (clause.type !== 'for_in_clause') return this.#turns(body, rest, depth, result)
    const over = itemsOf(this.value(field(clause, 'right'), depth) ?? undefined)
    const left = field(clause, 'left')
    const names = left?.type === 'identifier' ? [left.text] : named(left).map((one) => one.text)
    if (over === null || depth > MAX_DEPTH) return false
    let isWhole = true
    for (const item of over) {
      const parts = left?.type === 'identifier' ? [item] : isList(item) ? item : []
      const given = new Map(names.flatMap((name, at) => (parts[at] === undefined ? [] : [[name, parts[at]] as const])))
      this.scoped(given, () => {
        isWhole &&= this.#turns(body, rest, depth + 1, result)
      })
      if (!isWhole) return false
    }
    return true
  }

  #called(node: Node, depth: number): Known | null {
    const callee = field(node, 'function')
    const parts = named(field(node, 'arguments'))
    const name = this.name(callee, depth)
    if (/(^|\.)Path\.home$/.test(name)) return '~'
    // `(x for x in y)` as an argument has no brackets of its own.
    const given = field(node, 'arguments')
    const args = given?.type === 'generator_expression' ? this.all([given], depth) : this.#arguments(parts, depth)
    if (args === null) return null
    if (callee?.type === 'attribute') {
      const of = this.value(field(callee, 'object'), depth)
      const made = of === null || typeof of === 'function' ? null : pythonMethod(of, field(callee, 'attribute')?.text ?? '', args)
      if (made !== null) return made.isDecoding ? this.decoding(made.value) : made.value
    }
    const own = callee?.type === 'attribute' ? null : this.value(callee, depth)
    if (typeof own === 'function' && !pythonFunction(name)) return own(args)
    const made = pythonCall(name, args)
    return made === null ? null : made.isDecoding ? this.decoding(made.value) : made.value
  }

  /** Positional arguments in order; keyword arguments are skipped: `b64decode(x, validate=True)`. */
  #arguments(parts: readonly Node[], depth: number): Known[] | null {
    const args: Known[] = []
    for (const part of parts) {
      if (part.type === 'keyword_argument' || part.type === 'dictionary_splat') continue
      const value = this.value(part.type === 'list_splat' ? (named(part)[0] ?? null) : part, depth)
      if (value === null) return null
      if (part.type === 'list_splat') args.push(...(itemsOf(value) ?? []))
      else args.push(value)
    }
    return args
  }

  #function(name: string): Callable | null {
    const call = pythonFunction(this.names.get(name) ?? name)
    return call === null ? null : (args) => this.decoding(call(...args))
  }
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz'
const alphabet = (name: string): string =>
  name.endsWith('_lowercase') ? LETTERS : name.endsWith('_uppercase') ? LETTERS.toUpperCase() : LETTERS + LETTERS.toUpperCase()
