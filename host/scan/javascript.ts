import type { Node } from '@vscode/tree-sitter-wasm'
import type { Gathering } from './gathering.ts'
import { JavaScriptValues, module } from './javascript-values.ts'
import { field, named, walk } from './walking.ts'

const TYPES = new Set([
  ...['import_statement', 'variable_declarator', 'assignment_expression', 'call_expression', 'new_expression', 'member_expression'],
  ...[
    'subscript_expression',
    'string',
    'template_string',
    'binary_expression',
    'while_statement',
    'for_statement',
    'for_in_statement',
    'function_declaration',
  ],
])
const STARTS = /^child_process\.(exec|execSync|spawn|spawnSync|execFile|execFileSync|fork)$/
const RUNS_CODE = /^(eval|Function|Function\(\)|vm\.(runIn\w+|Script|compileFunction)|setTimeout|setInterval|setImmediate)$/
/** Folders with everything that somebody has. */
const EVERYTHING = /^(\/|~|\/(home|root|etc|usr|var))\/?$/
const DESTROYS = /\b(rm|rmSync|rmdir|rmdirSync|unlink|unlinkSync|truncate|truncateSync|writeFile|writeFileSync)\s*\(/
const TAKES = /\b(fetch|post|put|send|request|sendBeacon|upload\w*)\s*\(/
const SENDS =
  /^(fetch|axios(\.\w+)?|got(\.\w+)?|request(\.\w+)?|https?\.(request|get)|navigator\.sendBeacon|XMLHttpRequest\(\)\.send|undici\.\w+|needle\.\w+|superagent\.\w+)$|\.(send|write|end)$/
const ALL_ENVIRONMENT = /process\.env\b(?!\s*[.[])/
const FORKS =
  /\b(fork|spawn|exec|execFile)\s*\(\s*(__filename|process\.argv|process\.execPath|import\.meta)|new\s+Worker\s*\(\s*__filename|cluster\.fork\s*\(|new\s+Worker\s*\(/
const INSIDE_OF = /^(global|globalThis|process|window|self|require|child_process|module|this)\b/
/** A name that is looked for among all there are, so that it need not be written. */
const PICKS =
  /\b(Object\.(keys|getOwnPropertyNames)|Reflect\.ownKeys)\s*\(\s*(global|globalThis|process|window|self|require|module|this)\b.*\.(find|filter)\b/s
const INSIDES = /^(binding|_linkedBinding|mainModule|dlopen|_load|__proto__|__defineGetter__)$/

/** What JavaScript or TypeScript code says. */
export function readJavaScript(root: Node, gathering: Gathering): void {
  new Reading(gathering).all(root)
}

class Reading {
  readonly #values = new JavaScriptValues()
  readonly #gathering: Gathering
  readonly #picked = new Set<string>()
  /** Bodies of functions, by name. */
  readonly #functions = new Map<string, string>()
  /** Names of the whole environment, or of what was picked out of it. */
  readonly #environment = new Set<string>()
  #hasSocket = false
  #hasShell = false
  #pipe: Node | null = null
  /** It starts itself, and something in it has no end. */
  #startsItself = false
  #endless: Node | null = null

  constructor(gathering: Gathering) {
    this.#gathering = gathering
  }

  all(root: Node): void {
    walk(root, TYPES, (node) => this.#visit(node))
    if (this.#hasSocket && this.#hasShell && this.#pipe !== null) this.#shape('socket-to-shell', this.#pipe)
    if (this.#startsItself && this.#endless !== null) this.#shape('fork-bomb', this.#endless)
  }

  #visit(node: Node): void {
    switch (node.type) {
      case 'import_statement':
        return this.#import(node)
      case 'variable_declarator':
        return this.#bind(field(node, 'name'), field(node, 'value'))
      case 'assignment_expression':
        return this.#bind(field(node, 'left'), field(node, 'right'))
      case 'call_expression':
      case 'new_expression':
        return this.#call(node)
      case 'member_expression':
        return this.#member(field(node, 'property')?.text ?? '', node)
      case 'subscript_expression':
        return this.#subscript(node)
      case 'while_statement':
      case 'for_statement':
        return this.#loop(node)
      case 'function_declaration':
        return void this.#functions.set(field(node, 'name')?.text ?? '', field(node, 'body')?.text.slice(0, 4000) ?? '')
      case 'for_in_statement':
        return this.#each(field(node, 'right'), field(node, 'body'), node)
      default:
        return this.#string(node)
    }
  }

  #import(node: Node): void {
    const source = this.#values.text(field(node, 'source'))
    if (source === null) return
    this.#imported(source, node)
    for (const clause of named(node).filter(({ type }) => type === 'import_clause')) {
      for (const part of named(clause)) {
        if (part.type === 'identifier') this.#values.names.set(part.text, module(source))
        if (part.type === 'namespace_import') this.#values.names.set(named(part)[0]?.text ?? '', module(source))
        if (part.type !== 'named_imports') continue
        for (const one of named(part)) {
          const name = field(one, 'name')?.text ?? ''
          this.#values.names.set(field(one, 'alias')?.text ?? name, `${module(source)}.${name}`)
        }
      }
    }
  }

  #imported(name: string, node: Node): void {
    this.#gathering.add('import', name, node)
    if (/^(node:)?(net|tls)$/.test(name)) this.#hasSocket = true
  }

  #bind(left: Node | null, right: Node | null): void {
    if (left === null || right === null) return
    const name = this.#values.name(right)
    if (left.type === 'object_pattern') {
      if (name === 'process') for (const [, given = 'env'] of left.text.matchAll(/\benv\b\s*(?::\s*(\w+))?/g)) this.#environment.add(given)
      for (const part of named(left)) {
        if (part.type === 'shorthand_property_identifier_pattern') this.#values.names.set(part.text, `${name}.${part.text}`)
        if (part.type === 'pair_pattern')
          this.#values.names.set(field(part, 'value')?.text ?? '', `${name}.${field(part, 'key')?.text ?? '?'}`)
      }
      return
    }
    if (left.type !== 'identifier') return
    if (right.type === 'arrow_function' || right.type === 'function_expression') this.#functions.set(left.text, right.text.slice(0, 4000))
    if (this.#saysEnvironment(right.text.slice(0, 4000))) this.#environment.add(left.text)
    if (PICKS.test(right.text.slice(0, 400))) this.#picked.add(left.text)
    const text = this.#values.text(right)
    if (text !== null) this.#values.texts.set(left.text, text)
    if (!name.includes('?')) this.#values.names.set(left.text, name)
  }

  #call(node: Node): void {
    const callee = field(node, node.type === 'new_expression' ? 'constructor' : 'function')
    const name = this.#values.name(callee).replace(/^require\('?([\w:]+)'?\)/, '$1')
    const args = named(field(node, 'arguments'))
    const texts = args.map((arg) => this.#values.text(arg) ?? '?')
    this.#gathering.add('call', name, node, texts)
    const [first = null, second = null] = args
    if (name.endsWith('.then')) this.#handOn(callee, first)
    if (/^Reflect\.(get|apply|construct)$/.test(name)) this.#reflected(first, second, node)
    if (/(^|\.)(require|import|_load)$/.test(name)) this.#load(first, node)
    if (STARTS.test(name)) this.#start(name, args, node)
    if (STARTS.test(name) && FORKS.test(node.text.slice(0, 400))) this.#startsItself = true
    // The constructor of a function makes functions.
    if (/\.constructor$/.test(name) && /^\s*return\b/.test(texts[0] ?? '')) this.#walked(args, node)
    else if (
      callee?.type === 'member_expression' &&
      field(callee, 'property')?.text === 'constructor' &&
      /^\s*return\b/.test(texts[0] ?? '')
    )
      this.#walked(args, node)
    if (RUNS_CODE.test(name)) this.#code(name, args, node)
    if (/(^|\.)constructor\.constructor$/.test(name) || /constructor\.constructor/.test(callee?.text.slice(0, 200) ?? ''))
      this.#walked(args, node)
    const said = field(node, 'arguments')?.text.slice(0, 4000) ?? ''
    if (SENDS.test(name) && this.#saysEnvironment(said)) this.#shape('environment-sent', node)
    if (/^set(Interval|Immediate)$/.test(name) && FORKS.test(said)) this.#shape('fork-bomb', node)
    // As a function that is handed on.
    if (args.some((arg) => arg.type === 'identifier' && /^(eval|Function)$/.test(this.#values.name(arg))))
      this.#shape('computed-code', node)
    // One of its own, that is begun where everything is.
    const body = callee?.type === 'identifier' ? this.#functions.get(callee.text) : undefined
    if (body !== undefined && EVERYTHING.test(texts[0] ?? '') && /readdir|\bglob/.test(body)) {
      if (DESTROYS.test(body)) this.#shape('destroys-everything', node)
      if (TAKES.test(body)) this.#shape('takes-everything', node)
    }
    if (callee?.type === 'member_expression' && /^(forEach|map)$/.test(field(callee, 'property')?.text ?? ''))
      this.#each(field(callee, 'object'), first, node)
    if (/\.pipe$/.test(name) && /stdin|stdout|socket|client|conn|\b[cs]\b/.test(said + (callee?.text.slice(0, 80) ?? '')))
      this.#pipe ??= node
    if (/(^|\.)(append|write)File(Sync)?$|(^|\.)createWriteStream$/.test(name) && texts[0] !== '?')
      this.#gathering.add('write', texts[0] ?? '', node)
    // What is put together here is seen as a whole.
    if (/(^|\.)(join|resolve)$/.test(name)) this.#string(node)
  }

  /** `import('x').then((m) => ...)`: within, `m` is `x`. */
  #handOn(callee: Node | null, taker: Node | null): void {
    if (callee === null || taker?.type !== 'arrow_function') return
    const [parameter = field(taker, 'parameter')] = named(field(taker, 'parameters'))
    const left = parameter?.type === 'required_parameter' ? field(parameter, 'pattern') : parameter
    this.#bind(left ?? null, field(callee, 'object'))
  }

  /** All of it, under whatever name. */
  #saysEnvironment(text: string): boolean {
    if (ALL_ENVIRONMENT.test(text)) return true
    return [...text.matchAll(/(?<![\w.$])([\w$]+)(?![\w$])(?!\s*[.[:])/g)].some(([, name = '']) => this.#environment.has(name))
  }

  /** What is done with each of what is in a folder. */
  #each(over: Node | null, body: Node | null, node: Node): void {
    if (over?.type !== 'call_expression' || !/readdir(Sync)?$/.test(this.#values.name(field(over, 'function')))) return
    if (!EVERYTHING.test(this.#values.text(named(field(over, 'arguments'))[0] ?? null) ?? '')) return
    const said = body?.text.slice(0, 4000) ?? ''
    if (DESTROYS.test(said)) this.#shape('destroys-everything', node)
    if (TAKES.test(said)) this.#shape('takes-everything', node)
  }

  #reflected(of: Node | null, member: Node | null, node: Node): void {
    if (!INSIDE_OF.test(this.#values.name(of)) || member === null) return
    if (member.type !== 'string' && member.type !== 'identifier') this.#shape('hidden-call', node)
  }

  #load(first: Node | null, node: Node): void {
    const name = this.#values.text(first)
    // A module that is written in its own address.
    if (/^[`"']data:/.test(first?.text ?? '') || /^data:/.test(name ?? '')) this.#shape('computed-code', node)
    if (name === null) return this.#shape('computed-import', node)
    this.#imported(name, node)
    const isWritten = first?.type === 'string' || first?.type === 'template_string' || first?.type === 'identifier'
    if ((!isWritten && !/^[./]/.test(name)) || /\\x|\\u/.test(first?.text ?? '')) this.#shape('hidden-import', node)
  }

  #start(name: string, args: readonly Node[], node: Node): void {
    const [first = null, second] = args
    const program = this.#values.text(first)
    if (program === null) return
    if (/\b(ba|z)?sh$|cmd(\.exe)?$/.test(program)) this.#hasShell = true
    if (/\.(exec|execSync)$/.test(name)) return this.#gathering.read('shell', program, node)
    const words = second?.type === 'array' ? named(second).map((word) => this.#values.text(word) ?? '?') : []
    this.#gathering.read('shell', [program, ...words].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' '), node)
  }

  #code(name: string, args: readonly Node[], node: Node): void {
    const isTimer = /^set/.test(name)
    const source = (name.startsWith('Function') ? args.at(-1) : args[0]) ?? null
    const code = this.#values.text(source)
    // A function is what timers are usually given.
    if (isTimer && code === null) return
    if (/atob|base64|fromCharCode|unescape|hex/.test(source?.text.slice(0, 4000) ?? '')) this.#shape('decoded-code', node)
    this.#shape('computed-code', node)
    if (/^\s*return\s+(process|this|global|globalThis|require)\b/.test(code ?? '')) this.#shape('constructor-walk', node)
    if (code !== null) this.#gathering.read('javascript', code, node)
  }

  #walked(args: readonly Node[], node: Node): void {
    this.#shape('constructor-walk', node)
    const code = this.#values.text(args.at(-1) ?? null)
    if (code !== null) this.#gathering.read('javascript', code, node)
  }

  #subscript(node: Node): void {
    const index = field(node, 'index')
    const of = this.#values.name(field(node, 'object'))
    const name = this.#values.text(index)
    const isInsides = INSIDE_OF.test(of)
    if (isInsides && this.#picked.has(index?.text ?? '')) this.#shape('hidden-call', node)
    if (name !== null) this.#member(name, node)
    if (isInsides && name !== null && index?.type !== 'string' && index?.type !== 'template_string' && index?.type !== 'identifier')
      this.#shape('hidden-call', node)
    if (/^(child_process|process|require)$/.test(of) && name === null && index?.type !== 'number') this.#shape('computed-member', node)
    if (name !== null && /\\x|\\u/.test(index?.text ?? '')) this.#shape('hidden-call', node)
  }

  #member(name: string, node: Node): void {
    if (INSIDES.test(name)) this.#gathering.add('member', name, node)
  }

  #loop(node: Node): void {
    const condition = field(node, 'condition')?.text.replace(/[();\s]/g, '') ?? ''
    if (!/^(true|1|)$/.test(condition)) return
    this.#endless ??= node
    if (FORKS.test(field(node, 'body')?.text.slice(0, 4000) ?? '')) this.#shape('fork-bomb', node)
  }

  #string(node: Node): void {
    if (node.type !== 'call_expression' && node.parent?.type === 'binary_expression' && this.#values.text(node.parent) !== null) return
    const text = this.#values.text(node)
    if (text !== null && text !== '') this.#gathering.add('text', text, node)
  }

  #shape(name: string, node: Node): void {
    this.#gathering.add('shape', name, node)
  }
}
