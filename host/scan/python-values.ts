import type { Node } from '@vscode/tree-sitter-wasm'
import { character, fromBase64, fromHex, reversed, rot13, unescaped } from './decoding.ts'
import { characterCodes, KnownValues, MAX_DEPTH } from './known-values.ts'
import { field, named } from './walking.ts'

/** Names and texts of Python code. */
export class PythonValues extends KnownValues {
  protected override made(node: Node, depth: number): string | null {
    switch (node.type) {
      case 'string':
        return this.#literal(node, depth)
      case 'concatenated_string':
        return joined(named(node).map((part) => this.text(part, depth)))
      case 'parenthesized_expression':
      case 'await':
        return this.text(named(node)[0] ?? null, depth)
      case 'identifier':
        return this.texts.get(node.text) ?? null
      case 'attribute':
        return /^os\.(path\.)?sep$/.test(this.name(node, depth)) ? '/' : null
      case 'binary_operator':
        return this.#operated(node, depth)
      case 'subscript':
        return /^\s*::\s*-1\s*$/.test(field(node, 'subscript')?.text ?? '')
          ? mapped(this.text(field(node, 'value'), depth), reversed)
          : null
      case 'call':
        return this.#called(node, depth)
      default:
        return null
    }
  }

  /** What a hole of an f-string holds is `?` where it is not known. */
  #literal(node: Node, depth: number): string {
    const raw = /^[bfu]*r/i.test(named(node)[0]?.text ?? '')
    return named(node)
      .map((part) => {
        if (part.type === 'string_content') return raw ? part.text : unescaped(part.text)
        return part.type === 'interpolation' ? (this.text(named(part)[0] ?? null, depth) ?? '?') : ''
      })
      .join('')
  }

  #operated(node: Node, depth: number): string | null {
    const [left, right] = [this.text(field(node, 'left'), depth), field(node, 'right')]
    const operator = field(node, 'operator')?.text
    if (operator === '*') return left !== null && /^\d{1,3}$/.test(right?.text ?? '') ? left.repeat(Number(right?.text)) : null
    const second = this.text(right, depth)
    if (operator === '+') return left === null || second === null ? null : left + second
    // Of pathlib.
    return operator === '/' && left !== null && second !== null ? `${left.replace(/\/$/, '')}/${second}` : null
  }

  #called(node: Node, depth: number): string | null {
    const callee = field(node, 'function')
    const args = named(field(node, 'arguments'))
    const [first = null, second = null] = args
    const method = callee?.type === 'attribute' ? field(callee, 'attribute')?.text : undefined
    const of = callee?.type === 'attribute' ? this.text(field(callee, 'object'), depth) : null
    const name = this.name(callee, depth)
    if (method === 'join' && of !== null) return mapped(this.#pieces(first, depth), (pieces) => pieces.join(of))
    if (['decode', 'encode', 'strip', 'lower', 'expanduser', 'resolve'].includes(method ?? '') && of !== null) return of
    if (method === 'replace' && of !== null) {
      const [from, to] = [this.text(first, depth), this.text(second, depth)]
      return from === null || to === null || from === '' ? null : of.replaceAll(from, to)
    }
    if (/(^|\.)Path\.home$/.test(name)) return '~'
    if (name === 'chr') return character(Number(first?.text))
    if (name === 'str' || name === 'bytes.decode' || name === 'os.path.expanduser' || /(^|\.)Path$/.test(name)) {
      return args.length === 1
        ? this.text(first, depth)
        : joined(
            args.map((arg) => this.text(arg, depth)),
            '/',
          )
    }
    if (name === 'os.path.join')
      return joined(
        args.map((arg) => this.text(arg, depth)),
        '/',
      )
    if (name === 'bytes' || name === 'bytearray') return mapped(numbers(first), characters)
    const inner = this.text(first, depth)
    if (inner === null) return null
    if (/^(base64\.(b64decode|urlsafe_b64decode|decodebytes|standard_b64decode)|binascii\.a2b_base64)$/.test(name)) return fromBase64(inner)
    if (/^(bytes\.fromhex|bytearray\.fromhex|binascii\.(unhexlify|a2b_hex)|base64\.b16decode)$/.test(name)) return fromHex(inner)
    if (name === 'codecs.decode' || name === 'codecs.encode') {
      const codec = this.text(second, depth) ?? ''
      return /rot_?13/.test(codec) ? rot13(inner) : /hex/.test(codec) ? fromHex(inner) : /base64/.test(codec) ? fromBase64(inner) : null
    }
    return name === 'reversed' ? reversed(inner) : null
  }

  /** Of a list that is joined: written out, reversed, or of numbers of characters. */
  #pieces(node: Node | null, depth: number): string[] | null {
    if (node === null) return null
    if (['list', 'tuple', 'set'].includes(node.type)) return all(named(node).map((one) => this.text(one, depth)))
    if (node.type === 'call') {
      const [first = null, second = null] = named(field(node, 'arguments'))
      if (field(node, 'function')?.text === 'map')
        return first?.text === 'chr' ? mapped(numbers(second), (codes) => [characters(codes)]) : null
      return mapped(this.text(node, depth), (text) => [text])
    }
    if (node.type === 'generator_expression' || node.type === 'list_comprehension') {
      const [body, clause] = named(node)
      const shift = /^chr\(\s*(\w+)\s*(?:([-^+])\s*(\d+))?\s*\)$/.exec(body?.text ?? '')
      const codes = clause === undefined ? null : numbers(field(clause, 'right'))
      if (shift === null || codes === null) return null
      const by = Number(shift[3] ?? 0)
      return [characters(codes.map((code) => (shift[2] === '^' ? code ^ by : shift[2] === '-' ? code - by : code + by)))]
    }
    return mapped(this.text(node, depth), (text) => [text])
  }

  /** The full name of what is called or looked at: `os.system`, whatever way it was come by. `?` where it is not known. */
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
      // Whichever it is when it runs, it is one of these.
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

function mapped<T, U>(value: T | null, map: (value: T) => U): U | null {
  return value === null ? null : map(value)
}

function all<T>(values: readonly (T | null)[]): T[] | null {
  return values.some((value) => value === null) ? null : (values as T[])
}

const joined = (texts: readonly (string | null)[], by = ''): string | null => mapped(all(texts), (known) => known.join(by))

function numbers(node: Node | null): number[] | null {
  return node !== null && ['list', 'tuple'].includes(node.type) ? characterCodes(named(node).map((one) => one.text)) : null
}

const characters = (codes: readonly number[]): string => codes.map((code) => character(code) ?? '?').join('')
