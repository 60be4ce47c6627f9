import type { Node } from '@vscode/tree-sitter-wasm'
import type { Gathering } from './gathering.ts'
import { module } from './javascript-names.ts'
import { JavaScriptRunning } from './javascript-running.ts'
import { JavaScriptValues } from './javascript-values.ts'
import { isList, type Known } from './known-values.ts'
import { field, isRepeated, named, walk } from './walking.ts'

const TYPES = new Set([
  ...['import_statement', 'variable_declarator', 'assignment_expression', 'augmented_assignment_expression', 'call_expression'],
  ...['new_expression', 'member_expression', 'subscript_expression', 'string', 'template_string', 'binary_expression', 'pair'],
  ...['while_statement', 'for_statement', 'for_in_statement', 'function_declaration', 'function_expression'],
])
/** Folders that contain all of somebody's files. */
const EVERYTHING = /^(\/|~|\/(home|root|etc|usr|var))\/?$/
const DESTROYS = /\b(rm|rmSync|rmdir|rmdirSync|unlink|unlinkSync|truncate|truncateSync|writeFile|writeFileSync)\s*\(/
const TAKES = /\b(fetch|post|put|send|request|sendBeacon|upload\w*)\s*\(/
const SENDS =
  /^(fetch|axios(\.\w+)?|(dns|dnsPromises)(\.promises)?\.(lookup|resolve\w*)|got(\.\w+)?|request(\.\w+)?|https?\.(request|get)|navigator\.sendBeacon|XMLHttpRequest\(\)\.send|undici\.\w+|needle\.\w+|superagent\.\w+)$|\.(send|write|end)$/
const ALL_ENVIRONMENT = /process\.env\b(?!\s*[.[])|\bdocument\.cookie\b(?!\s*\.)/
const FORKS =
  /\b(fork|spawn|exec|execFile)\s*\(\s*(__filename|process\.argv|process\.execPath|import\.meta)|new\s+Worker\s*\(\s*__filename|cluster\.fork\s*\(|new\s+Worker\s*\(/
const INSIDE_OF = /^(global|globalThis|process|window|self|require|child_process|module|this)\b/
/** Finds a name by searching all existing ones, so that it need not be written. */
const PICKS =
  /\b(Object\.(keys|getOwnPropertyNames)|Reflect\.ownKeys)\s*\(\s*(global|globalThis|process|window|self|require|module|this)\b.*\.(find|filter)\b/s
const INSIDES = /^(binding|_linkedBinding|mainModule|dlopen|_load|__proto__|__defineGetter__)$/

/** Extracts facts from JavaScript or TypeScript code. */
export function readJavaScript(root: Node, gathering: Gathering): void {
  new Reading(gathering, root.text).all(root)
}

class Reading {
  readonly #values = new JavaScriptValues()
  readonly #running: JavaScriptRunning
  /** The successive values of a loop variable. */
  readonly #turns = new Map<string, readonly Known[]>()
  readonly #gathering: Gathering
  readonly #source: string
  readonly #picked = new Set<string>()
  /** Function bodies, by name. */
  readonly #functions = new Map<string, string>()
  /** Names that hold the whole environment, or a selection from it. */
  readonly #environment = new Set<string>()
  #hasSocket = false
  #pipe: Node | null = null
  /** The script starts itself; `#endless`: an endless loop in it. */
  #startsItself = false
  #endless: Node | null = null

  constructor(gathering: Gathering, source: string) {
    this.#gathering = gathering
    this.#source = source
    this.#running = new JavaScriptRunning(gathering, this.#values)
  }

  all(root: Node): void {
    walk(root, TYPES, (node) => this.#visit(node))
    const letters = this.#source.match(/[\p{L}\d]/gu)?.length ?? 0
    if (this.#source.length > 200 && letters / this.#source.length < 0.05) this.#shape('decoded-code', root)
    if (this.#hasSocket && this.#running.hasShell && this.#pipe !== null) this.#shape('socket-to-shell', this.#pipe)
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
      case 'function_expression':
        return this.#define(node)
      case 'augmented_assignment_expression':
        return this.#extend(field(node, 'left'), field(node, 'right'), node)
      case 'pair':
        return this.#variable(field(node, 'key'), field(node, 'value'), node)
      case 'for_in_statement':
        return this.#each(field(node, 'right'), field(node, 'body'), node)
      default:
        return this.#string(node)
    }
  }

  #define(node: Node): void {
    const [name, body] = [field(node, 'name')?.text ?? '', field(node, 'body')?.text.slice(0, 4000) ?? '']
    if (name === '') return
    this.#running.grow(name, body)
    this.#functions.set(name, body)
    const call = this.#values.function(node)
    if (call !== null) this.#values.values.set(name, call)
    // It starts itself, then calls itself without waiting.
    if (
      FORKS.test(body) &&
      new RegExp(`(^|[^\\w$.])${name.replaceAll('$', '\\$')}\\s*\\(\\s*\\)`).test(body) &&
      !/\.on(ce)?\s*\(|setTimeout|await/.test(body)
    )
      this.#shape('fork-bomb', node)
  }

  /** A variable in the environment of a started process. */
  #variable(name: Node | null, value: Node | null, node: Node): void {
    const [variable, text] = [name?.text.replace(/^['"]|['"]$/g, '') ?? '', this.#values.text(value)]
    if (text !== null && /^[A-Z][A-Z\d_]{2,}$/.test(variable)) this.#gathering.add('variable', `${variable}=${text}`, node)
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
    const said = right.text.slice(0, 4000)
    if (left.type === 'member_expression') return this.#set(left, right)
    this.#running.bring(left.type === 'identifier' ? [left.text] : (left.text.match(/[A-Za-z_$][\w$]*/g) ?? []).slice(0, 32), said)
    if (left.type === 'array_pattern') for (const [at, { text }] of named(left).entries()) this.#values.bind(text, right, at)
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
    this.#values.bind(left.text, right)
    if (!name.includes('?')) this.#values.names.set(left.text, name)
  }

  #extend(left: Node | null, right: Node | null, node: Node): void {
    if (left === null || right === null) return
    this.#running.grow(left.text, right.text)
    this.#values.extend(left.text, right, isRepeated(node))
  }

  #set(left: Node, right: Node): void {
    this.#running.grow(left.text, right.text)
    const property = field(left, 'property')?.text ?? ''
    if (this.#values.name(field(left, 'object')) === 'process.env') this.#variable(field(left, 'property'), right, left)
    if (/^on(message|data)$/.test(property)) this.#running.comes(left.text, right)
  }

  #call(node: Node): void {
    const callee = field(node, node.type === 'new_expression' ? 'constructor' : 'function')
    const name = this.#values.name(callee).replace(/^require\('?([\w:]+)'?\)/, '$1')
    const given = field(node, 'arguments')
    // eval`...`
    const args = given?.type === 'template_string' ? [given] : named(given)
    const texts = args.map((arg) => (arg.type === 'number' ? arg.text : this.#values.partly(arg)))
    this.#gathering.add('call', name, node, texts)
    const [first = null, second = null] = args
    for (const one of this.#turns.get(first?.type === 'identifier' ? first.text : '') ?? [])
      if (typeof one === 'string') this.#gathering.add('call', name, node, [one, ...texts.slice(1)])
    this.#running.call(name, args, texts, node)
    if (name.endsWith('.then')) this.#handOn(callee, first)
    if (/^Reflect\.(get|apply|construct)$/.test(name)) this.#reflected(first, second, node)
    if (/(^|\.)(require|import|_load|getBuiltinModule)$/.test(name)) this.#load(first, node)
    if (this.#running.isStart(name) && FORKS.test(node.text.slice(0, 400))) this.#startsItself = true
    const said = field(node, 'arguments')?.text.slice(0, 4000) ?? ''
    if (SENDS.test(name) && this.#saysEnvironment(said)) this.#shape('environment-sent', node)
    if (/^set(Interval|Immediate)$/.test(name) && FORKS.test(said)) this.#shape('fork-bomb', node)
    // Passed on as a function.
    if (args.some((arg) => arg.type === 'identifier' && /^(eval|Function)$/.test(this.#values.name(arg))))
      this.#shape('computed-code', node)
    // The code's own function, called with a folder that contains everything.
    const body = callee?.type === 'identifier' ? this.#functions.get(callee.text) : undefined
    if (body !== undefined && this.#running.isRunner(body)) for (const arg of args) this.#running.unseen(arg, node)
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
    // The assembled path counts as a single text.
    if (/(^|\.)(join|resolve)$/.test(name)) this.#string(node)
  }

  /** `import('x').then((m) => ...)`: within the callback, `m` is `x`. */
  #handOn(callee: Node | null, taker: Node | null): void {
    if (callee === null || taker?.type !== 'arrow_function') return
    const [parameter = field(taker, 'parameter')] = named(field(taker, 'parameters'))
    const left = parameter?.type === 'required_parameter' ? field(parameter, 'pattern') : parameter
    this.#bind(left ?? null, field(callee, 'object'))
  }

  /** Refers to the whole environment, under any alias. */
  #saysEnvironment(text: string): boolean {
    if (ALL_ENVIRONMENT.test(text)) return true
    return [...text.matchAll(/(?<![\w.$])([\w$]+)(?![\w$])(?!\s*[.[:])/g)].some(([, name = '']) => this.#environment.has(name))
  }

  /** A loop over the contents of a folder. */
  #each(over: Node | null, body: Node | null, node: Node): void {
    const left = field(node, 'left')
    const list = left?.type === 'identifier' ? this.#values.value(over) : null
    if (left !== null && isList(list)) this.#turns.set(left.text, list.slice(0, 16))
    if (left !== null && over !== null) this.#running.bring(left.text.match(/[A-Za-z_$][\w$]*/g)?.slice(0, 8) ?? [], over.text)
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
    // A module whose code is in its own URL.
    if (/^[`"']data:/.test(first?.text ?? '') || /^data:/.test(name ?? '')) this.#shape('computed-code', node)
    if (name === null) return this.#shape('computed-import', node)
    this.#imported(name, node)
    if (!/^[./]/.test(name) && this.#isHidden(first, name)) this.#shape('hidden-import', node)
  }

  /** Whether the name cannot be read in the source as it is at run time. */
  #isHidden(node: Node | null, name: string): boolean {
    const isWritten = node?.type === 'string' || node?.type === 'template_string' || node?.type === 'identifier'
    return !isWritten || !(name.includes('?') || this.#source.includes(name)) || /\\x|\\u/.test(node?.text ?? '')
  }

  #subscript(node: Node): void {
    const index = field(node, 'index')
    const of = this.#values.name(field(node, 'object'))
    const name = this.#values.text(index)
    const isInsides = INSIDE_OF.test(of)
    if (isInsides && (this.#picked.has(index?.text ?? '') || PICKS.test(index?.text.slice(0, 400) ?? ''))) this.#shape('hidden-call', node)
    if (name !== null) this.#member(name, node)
    if (isInsides && name !== null && this.#isHidden(index, name)) this.#shape('hidden-call', node)
    if (/^(child_process|process|require)$/.test(of) && name === null && index?.type !== 'number') this.#shape('computed-member', node)
    if (name !== null && /\\x|\\u/.test(index?.text ?? '')) this.#shape('hidden-call', node)
  }

  #member(name: string, node: Node): void {
    if (name === 'constructor' && /(^|\.)(module|mainModule)$/.test(this.#values.name(field(node, 'object'))))
      this.#shape('constructor-walk', node)
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
