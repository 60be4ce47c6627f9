import type { Node } from '@vscode/tree-sitter-wasm'
import type { Gathering } from './gathering.ts'
import { loopShapes, walkShapes } from './python-loops.ts'
import { PythonValues } from './python-values.ts'
import { field, named, walk } from './walking.ts'

const TYPES = new Set([
  ...['import_statement', 'import_from_statement', 'assignment', 'call', 'attribute', 'subscript', 'string', 'binary_operator'],
  ...['while_statement', 'for_statement', 'function_definition', 'concatenated_string', 'named_expression'],
])
const SHELLS =
  /^(os\.(system|popen)|(subprocess|commands)\.(getoutput|getstatusoutput)|asyncio\.(subprocess\.)?create_subprocess_shell|pty\.spawn|get_ipython\(\)\.(system|getoutput)|pexpect\.(run|spawn)|os\.popen[234])$/
const STARTS =
  /^(subprocess\.(run|call|check_call|check_output|Popen)|asyncio\.(subprocess\.)?create_subprocess_exec|os\.(exec|spawn|posix_spawn)\w*)$/
const RUNS_CODE = /^(eval|exec|compile|execfile|code\.(InteractiveConsole|interact)|runpy\.run_\w+)$/
const HIDES =
  /b64decode|b32decode|b85decode|a85decode|unhexlify|fromhex|decompress|marshal\.loads|rot.?13|urlopen|requests\.get|a2b_|\bchr\b/
const SENDS =
  /^(requests|httpx|urllib|urllib3|aiohttp|http|socket|s|sock|client|conn|session)\b.*\.(post|put|patch|get|request|urlopen|send|sendall|sendto|Request)$|\.(post|put|patch|request|urlopen|send|sendall|sendto|sendmail|publish|Request|stor\w+|upload\w*)$/
const ALL_ENVIRONMENT = /os\.environ\b(?!\s*(\.get\b|\[))|\benviron\.(items|copy)\b/
/** Where names are looked up by texts. */
const NAMESPACE = /(^|\.)(__dict__|modules|__globals__|__builtins__)$|^(globals|locals|vars)\(\)$/
/** What Python code says. `tree` is of the code without its magics. */
export function readPython(root: Node, gathering: Gathering): void {
  new Reading(gathering).all(root)
}

class Reading {
  readonly #values = new PythonValues()
  /** Names of what was decoded or fetched. */
  readonly #decoded = new Set<string>()
  /** Bodies of functions, by name. */
  readonly #functions = new Map<string, string>()
  /** Names of the whole environment, or of what was picked out of it. */
  readonly #environment = new Set<string>()
  readonly #gathering: Gathering
  #hasSocket = false
  #redirects: Node | null = null

  constructor(gathering: Gathering) {
    this.#gathering = gathering
  }

  all(root: Node): void {
    walk(root, TYPES, (node) => this.#visit(node))
    if (this.#hasSocket && this.#redirects !== null) this.#shape('socket-to-shell', this.#redirects)
  }

  #visit(node: Node): void {
    switch (node.type) {
      case 'import_statement':
        return this.#import(node)
      case 'import_from_statement':
        return this.#importFrom(node)
      case 'assignment':
        return this.#assign(field(node, 'left'), field(node, 'right'))
      case 'named_expression':
        return this.#assign(field(node, 'name'), field(node, 'value'))
      case 'call':
        return this.#call(node)
      case 'attribute':
        return this.#member(field(node, 'attribute')?.text ?? '', node)
      case 'subscript':
        return this.#item(node)
      case 'function_definition':
        return this.#define(node)
      case 'while_statement':
      case 'for_statement':
        return this.#loop(node)
      default:
        return this.#string(node)
    }
  }

  #import(node: Node): void {
    for (const child of named(node)) {
      const name = (child.type === 'aliased_import' ? field(child, 'name') : child)?.text ?? ''
      const alias = child.type === 'aliased_import' ? field(child, 'alias')?.text : undefined
      this.#imported(name, node)
      if (alias !== undefined) this.#values.names.set(alias, name)
    }
  }

  #importFrom(node: Node): void {
    const from = field(node, 'module_name')?.text ?? ''
    this.#imported(from, node)
    for (const child of named(node).slice(1)) {
      const name = (child.type === 'aliased_import' ? field(child, 'name') : child)?.text ?? ''
      const alias = (child.type === 'aliased_import' ? field(child, 'alias')?.text : undefined) ?? name
      if (!/^\w+$/.test(name)) continue
      this.#values.names.set(alias, `${from}.${name}`)
      // `from urllib import request` may be a module.
      if (/^(urllib|http|xmlrpc|concurrent|multiprocessing|asyncio|ctypes)/.test(from)) this.#imported(`${from}.${name}`, node)
    }
  }

  #imported(name: string, node: Node): void {
    this.#gathering.add('import', name, node)
    if (/^(socket|ssl)$/.test(name)) this.#hasSocket = true
  }

  #assign(left: Node | null, right: Node | null): void {
    if (left?.type !== 'identifier' || right === null) return
    const text = this.#values.text(right)
    if (text !== null) this.#values.texts.set(left.text, text)
    else this.#values.texts.delete(left.text)
    const said = right.text.slice(0, 4000)
    if (this.#hides(said)) this.#decoded.add(left.text)
    if (this.#saysEnvironment(said)) this.#environment.add(left.text)
    const name = this.#values.name(right)
    if (name !== '?' && name !== 'str' && !name.endsWith('()') && !name.includes('?')) this.#values.names.set(left.text, name)
    else if (/^(socket\.(socket|create_connection)|get_ipython|IPython\.get_ipython)\(\)$/.test(name))
      this.#values.names.set(left.text, name)
  }

  #call(node: Node): void {
    const callee = field(node, 'function')
    const name = this.#values.name(callee).replace(/^IPython\.get_ipython/, 'get_ipython')
    const args = named(field(node, 'arguments'))
    const texts = args.map((arg) => this.#values.text(arg) ?? (arg.type === 'list' || arg.type === 'tuple' ? '[]' : '?'))
    this.#gathering.add('call', name, node, texts)
    const [first = null] = args
    const body = callee?.type === 'identifier' ? this.#functions.get(callee.text) : undefined
    if (body !== undefined) for (const shape of walkShapes(texts[0] ?? '', body)) this.#shape(shape, node)
    if (SHELLS.test(name)) this.#shell(first, node)
    if (/^get_ipython\(\)\.run_(cell|line)_magic$/.test(name) && /^(bash|sh|script|system|sx|!)/.test(texts[0] ?? ''))
      this.#shell(args.at(-1) ?? null, node)
    if (/PROT_EXEC/.test(field(node, 'arguments')?.text.slice(0, 4000) ?? '')) this.#shape('executable-memory', node)
    if (STARTS.test(name))
      this.#start(/^os\.(exec|posix_spawn)/.test(name) ? args.slice(1) : /^os\.spawn/.test(name) ? args.slice(2) : args, node)
    if (RUNS_CODE.test(name)) this.#code(first, node)
    if (/^(__import__|importlib\.(import_module|__import__))$/.test(name)) this.#importCall(first, node)
    if (name === 'getattr') this.#getattr(args, node)
    const text = field(node, 'arguments')?.text.slice(0, 4000) ?? ''
    if (/^os\.dup2$/.test(name) && /fileno/.test(text)) this.#redirects ??= node
    if (
      /(run|call|Popen)$/.test(name) &&
      /std(in|out)\s*=\s*\w+(\.fileno|\.makefile)?/.test(text) &&
      /\b(sh|bash)\b/.test(text) &&
      !/PIPE|DEVNULL/.test(text)
    )
      this.#redirects ??= node
    if (/\.stdin\.write$|\.communicate$/.test(name) && /\.recv\s*\(/.test(text)) this.#redirects ??= node
    if (/\.send(all)?$/.test(name) && /\.stdout\.read|check_output|getoutput|\bpopen\b/.test(text)) this.#redirects ??= node
    if (SENDS.test(name) && this.#saysEnvironment(text)) this.#shape('environment-sent', node)
    if (/^(io\.)?open$/.test(name) && /^[rb]*[wax+]/.test(texts[1] ?? '') && texts[0] !== '?')
      this.#gathering.add('write', texts[0] ?? '', node)
    if (
      callee?.type === 'attribute' &&
      /^(write_(text|bytes)|touch|symlink_to|hardlink_to)$/.test(field(callee, 'attribute')?.text ?? '')
    ) {
      const to = this.#values.text(field(callee, 'object'))
      if (to !== null) this.#gathering.add('write', to, node)
    }
    // What is put together here is seen as a whole.
    if (/(^|\.)(Path|join|expanduser)$/.test(name)) this.#string(node)
  }

  /** All of it, under whatever name. */
  #saysEnvironment(text: string): boolean {
    if (ALL_ENVIRONMENT.test(text)) return true
    const isAll = (name: string) => this.#environment.has(name) || this.#values.names.get(name) === 'os.environ'
    return [...text.matchAll(/(?<![\w.])(\w+)\b(?!\s*(\.get\b|\[))/g)].some(([, name = '']) => isAll(name))
  }

  /** It decodes or fetches, under whatever name. */
  #hides(text: string): boolean {
    if (HIDES.test(text)) return true
    return [...text.matchAll(/(?<![\w.])(\w+)\s*\(/g)].some(([, name = '']) => HIDES.test(this.#values.names.get(name) ?? ''))
  }

  #shell(first: Node | null, node: Node): void {
    if (first?.type === 'list') return this.#start([first], node)
    const code = this.#values.text(first)
    if (code !== null) this.#gathering.read('shell', code, node)
  }

  #start(args: readonly Node[], node: Node): void {
    const [first = null] = args
    const code = this.#values.text(first)
    const words =
      first !== null && ['list', 'tuple'].includes(first.type) ? named(first) : args.filter(({ type }) => type !== 'keyword_argument')
    if (code !== null && words.length <= 1) return this.#gathering.read('shell', code, node)
    const texts = words
      .flatMap((word) => (word.type === 'list' || word.type === 'tuple' ? named(word) : [word]))
      .map((word) => this.#values.text(word) ?? '?')
    if (texts.every((text) => text === '?')) return
    this.#gathering.read('shell', texts.map(quoted).join(' '), node)
  }

  #code(first: Node | null, node: Node): void {
    // exec(compile(x, ...)) runs x.
    if (first?.type === 'call' && this.#values.name(field(first, 'function')) === 'compile')
      return this.#code(named(field(first, 'arguments'))[0] ?? null, node)
    const code = this.#values.text(first)
    const said = first?.text.slice(0, 4000) ?? ''
    const hidden = first !== null && (this.#hides(said) || [...said.matchAll(/\w+/g)].some(([name]) => this.#decoded.has(name)))
    if (hidden) this.#shape('decoded-code', node)
    if (code === null || first?.type !== 'string') this.#shape('computed-code', node)
    if (code !== null) this.#gathering.read('python', code, node)
  }

  #importCall(first: Node | null, node: Node): void {
    const name = this.#values.text(first)
    if (name === null) return this.#shape('computed-import', node)
    this.#imported(name, node)
    if (first?.type !== 'string' && first?.type !== 'identifier') this.#shape('hidden-import', node)
    else if (first.type === 'string' && first.text.includes('\\x')) this.#shape('hidden-import', node)
  }

  #getattr([of, member, otherwise]: readonly Node[], node: Node): void {
    const name = this.#values.text(member ?? null)
    const whose = this.#values.name(of ?? null)
    if (
      name === null &&
      otherwise === undefined &&
      /^(os|sys|subprocess|builtins|__builtins__|importlib|socket|shutil|ctypes)\b/.test(whose)
    )
      this.#shape('computed-member', node)
    if (name === null) return
    this.#member(name, node)
    if (member?.type !== 'string' && member?.type !== 'identifier') this.#shape('hidden-call', node)
  }

  #member(name: string, node: Node): void {
    if (!name.startsWith('_') && !/^(f_|gi_|tb_|func_)/.test(name)) return
    this.#gathering.add('member', name, node)
    if (name === '__subclasses__') this.#shape('subclasses-walk', node)
  }

  #item(node: Node): void {
    const [of, key] = [field(node, 'value'), field(node, 'subscript')]
    if (/(__globals__|__builtins__(\.__dict__)?|f_builtins|func_globals|f_globals)$/.test(of?.text ?? ''))
      this.#shape('builtins-walk', node)
    const isPutTogether = key?.type !== 'string' && key?.type !== 'identifier' && this.#values.text(key) !== null
    if (isPutTogether && NAMESPACE.test(this.#values.name(of))) this.#shape('hidden-call', node)
  }

  #define(node: Node): void {
    this.#functions.set(field(node, 'name')?.text ?? '', field(node, 'body')?.text.slice(0, 4000) ?? '')
    if (!/^__reduce(_ex)?__$/.test(field(node, 'name')?.text ?? '')) return
    const body = field(node, 'body')?.text.slice(0, 4000) ?? ''
    const aliases = [...this.#values.names].filter(([, full]) => /^(os\.(system|popen)|subprocess)/.test(full)).map(([alias]) => alias)
    if (
      /\b(os\.(system|popen|exec\w+)|subprocess\.\w+|eval|exec|__import__)\b/.test(body) ||
      aliases.some((alias) => new RegExp(`\\(\\s*${alias}\\b`).test(body))
    )
      this.#shape('reduce-to-call', node)
  }

  #loop(node: Node): void {
    for (const shape of loopShapes(node, this.#values)) this.#shape(shape, node)
  }

  #string(node: Node): void {
    if (node.type !== 'call' && (node.parent?.type === 'binary_operator' || node.parent?.type === 'concatenated_string')) {
      // It is seen as a part of the whole, where that is known.
      if (this.#values.text(node.parent) !== null) return
    }
    // What a text says about itself is for people.
    if (node.parent?.type === 'expression_statement' && node.type === 'string') return
    const text = this.#values.text(node)
    if (text !== null && text !== '') this.#gathering.add('text', text, node)
  }

  #shape(name: string, node: Node): void {
    this.#gathering.add('shape', name, node)
  }
}

/** As a word of a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
