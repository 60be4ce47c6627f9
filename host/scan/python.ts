import type { Node } from '@vscode/tree-sitter-wasm'
import type { Gathering } from './gathering.ts'
import { isList, type Known } from './known-values.ts'
import { isBomb, loopShapes, walkShapes } from './python-loops.ts'
import { PythonRunning, RUNS } from './python-running.ts'
import { PythonValues } from './python-values.ts'
import { field, isRepeated, named, walk } from './walking.ts'

const TYPES = new Set([
  ...['import_statement', 'import_from_statement', 'assignment', 'call', 'attribute', 'subscript', 'string', 'binary_operator'],
  ...['while_statement', 'for_statement', 'function_definition', 'concatenated_string', 'named_expression'],
  ...['decorator', 'as_pattern', 'keyword_argument', 'pair', 'augmented_assignment'],
])
const STARTERS = /^(os|posix|nt|subprocess|pty|ctypes|shutil|commands)$/
const SENDS =
  /^(requests|httpx|urllib|urllib3|aiohttp|http|socket|s|sock|client|conn|session)\b.*\.(post|put|patch|get|request|urlopen|send|sendall|sendto|Request)$|\.(post|put|patch|request|urlopen|send|sendall|sendto|sendmail|publish|Request|stor\w+|upload\w*)$/
const ALL_ENVIRONMENT = /os\.environ\b(?!\s*(\.get\b|\[))|\benviron\.(items|copy)\b/
/** Mappings in which names are looked up by text. */
const NAMESPACE = /(^|\.)(__dict__|modules|__globals__|__builtins__)$|^(globals|locals|vars)\(\)$/
/** Extracts facts from Python code. `root` belongs to the code without its magics. */
export function readPython(root: Node, gathering: Gathering): void {
  new Reading(gathering, root.text).all(root)
}

class Reading {
  readonly #values = new PythonValues()
  readonly #running: PythonRunning
  /** The successive values of a loop variable. */
  readonly #turns = new Map<string, readonly Known[]>()
  /** Function bodies, by name. */
  readonly #functions = new Map<string, string>()
  /** Names that hold the whole environment, or a selection from it. */
  readonly #environment = new Set<string>()
  readonly #gathering: Gathering
  readonly #source: string
  #hasSocket = false
  #redirects: Node | null = null

  constructor(gathering: Gathering, source: string) {
    this.#gathering = gathering
    this.#source = source
    this.#running = new PythonRunning(gathering, this.#values)
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
      case 'as_pattern':
        return this.#running.bring([named(node)[1]?.text ?? ''], named(node)[0]?.text ?? '')
      case 'augmented_assignment':
        return this.#extend(field(node, 'left'), field(node, 'right'), node)
      case 'decorator':
        return this.#decorated(node)
      case 'keyword_argument':
      case 'pair':
        return this.#variable(field(node, node.type === 'pair' ? 'key' : 'name'), field(node, 'value'), node)
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
    if (left === null || right === null) return
    if (left.type === 'subscript' && /(^|\.)environ$/.test(this.#values.name(field(left, 'value'))))
      return this.#variable(field(left, 'subscript'), right, left)
    const names =
      left.type === 'identifier'
        ? [left]
        : left.type === 'attribute'
          ? [left]
          : /^(pattern_list|tuple_pattern|list_pattern)$/.test(left.type)
            ? named(left)
            : []
    const said = right.text.slice(0, 4000)
    this.#running.bring(
      names.map(({ text }) => text),
      said,
    )
    const isOne = left.type === 'identifier' || left.type === 'attribute'
    for (const [at, { text }] of names.entries()) this.#values.bind(text, right, isOne ? undefined : at)
    if (left.type !== 'identifier') return
    if (this.#saysEnvironment(said)) this.#environment.add(left.text)
    const name = this.#values.name(right)
    if (name !== '?' && name !== 'str' && !name.endsWith('()') && !name.includes('?')) this.#values.names.set(left.text, name)
    else if (/^(socket\.(socket|create_connection)|get_ipython|IPython\.get_ipython)\(\)$/.test(name))
      this.#values.names.set(left.text, name)
  }

  #extend(left: Node | null, right: Node | null, node: Node): void {
    if (left === null || right === null) return
    this.#running.grow(left.text, right.text)
    this.#values.extend(left.text, right, isRepeated(node))
  }

  /** A variable in the environment of a started process. */
  #variable(name: Node | null, value: Node | null, node: Node): void {
    const variable = name?.type === 'identifier' ? name.text : this.#values.text(name)
    const text = this.#values.text(value)
    if (text !== null && /^[A-Z][A-Z\d_]{2,}$/.test(variable ?? '')) this.#gathering.add('variable', `${variable}=${text}`, node)
  }

  /** `@exec` runs the definition below it. */
  #decorated(node: Node): void {
    if (RUNS.test(this.#values.name(named(node)[0] ?? null))) this.#shape('decoded-code', node)
  }

  #call(node: Node): void {
    const callee = field(node, 'function')
    const name = this.#values.name(callee).replace(/^IPython\.get_ipython/, 'get_ipython')
    const args = named(field(node, 'arguments'))
    const texts = args.map((arg) => this.#said(arg))
    this.#gathering.add('call', name, node, texts)
    for (const one of this.#turns.get(args[0]?.type === 'identifier' ? args[0].text : '') ?? [])
      if (typeof one === 'string') this.#gathering.add('call', name, node, [one, ...texts.slice(1)])
    const [first = null] = args
    const body = callee?.type === 'identifier' ? this.#functions.get(callee.text) : undefined
    if (body !== undefined) for (const shape of walkShapes(texts[0] ?? '', body)) this.#shape(shape, node)
    this.#running.call(name, args, texts, node)
    if (/^(__import__|importlib\.(import_module|__import__))$/.test(name)) this.#importCall(first, node)
    if (name === 'getattr') this.#getattr(args, node)
    if (/^os\.(putenv|environ\.setdefault)$/.test(name)) this.#variable(first, args[1] ?? null, node)
    if (body !== undefined && this.#running.isRunner(body)) for (const arg of args) this.#running.unseen(arg, node)
    // `__import__('os').system(...)`: honest code imports the module.
    const of = callee?.type === 'attribute' ? field(callee, 'object') : null
    if (of?.type === 'call' && /^__import__$/.test(this.#values.name(field(of, 'function'))) && STARTERS.test(this.#values.name(of)))
      this.#shape('import-in-passing', node)
    const text = field(node, 'arguments')?.text.slice(0, 4000) ?? ''
    if (
      /PROT_EXEC|\bprot\s*=\s*(0x)?0*[57]\b/.test(text) ||
      (/(CFUNCTYPE|PYFUNCTYPE|WINFUNCTYPE)\(\)$/.test(name) && /addressof|from_buffer|\baddr|\bptr|VirtualAlloc|mmap/.test(text))
    )
      this.#shape('executable-memory', node)
    if (/(^|\.)(open_connection|start_server)$/.test(name)) this.#hasSocket = true
    if (/^os\.dup2$/.test(name) && /fileno/.test(text)) this.#redirects ??= node
    if (
      /(run|call|Popen|create_subprocess_\w+)$/.test(name) &&
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
    // The assembled path counts as a single text.
    if (/(^|\.)(Path|join|expanduser)$/.test(name)) this.#string(node)
  }

  #said(arg: Node): string {
    if (arg.type === 'integer') return arg.text
    return arg.type === 'list' || arg.type === 'tuple' ? '[]' : this.#values.partly(arg)
  }

  /** Refers to the whole environment, under any alias. */
  #saysEnvironment(text: string): boolean {
    if (ALL_ENVIRONMENT.test(text)) return true
    const isAll = (name: string) => this.#environment.has(name) || this.#values.names.get(name) === 'os.environ'
    return [...text.matchAll(/(?<![\w.])(\w+)\b(?!\s*(\.get\b|\[))/g)].some(([, name = '']) => isAll(name))
  }

  #importCall(first: Node | null, node: Node): void {
    const name = this.#values.text(first)
    if (name === null) return this.#shape('computed-import', node)
    this.#imported(name, node)
    if (this.#isHidden(first, name)) this.#shape('hidden-import', node)
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
    if (this.#isHidden(member ?? null, name)) this.#shape('hidden-call', node)
  }

  /** Whether the name cannot be read in the source as it is at run time. */
  #isHidden(node: Node | null, name: string): boolean {
    return (node?.type !== 'string' && node?.type !== 'identifier') || !(name.includes('?') || this.#source.includes(name))
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
    const name = this.#values.text(key)
    if (name !== null && this.#isHidden(key, name) && NAMESPACE.test(this.#values.name(of))) this.#shape('hidden-call', node)
  }

  #define(node: Node): void {
    const [name, whole] = [field(node, 'name')?.text ?? '', field(node, 'body')?.text ?? '']
    const body = whole.slice(0, 4000)
    this.#values.define(name, field(node, 'parameters'), field(node, 'body'))
    this.#running.grow(name, whole)
    this.#functions.set(name, body)
    if (isBomb(name, body)) this.#shape('fork-bomb', node)
    if (!/^__reduce(_ex)?__$/.test(name)) return
    const aliases = [...this.#values.names].filter(([, full]) => /^(os\.(system|popen)|subprocess)/.test(full)).map(([alias]) => alias)
    if (
      /\b(os\.(system|popen|exec\w+)|subprocess\.\w+|eval|exec|__import__)\b/.test(body) ||
      aliases.some((alias) => new RegExp(`\\(\\s*${alias}\\b`).test(body))
    )
      this.#shape('reduce-to-call', node)
  }

  #loop(node: Node): void {
    const [left, right] = [field(node, 'left'), field(node, 'right')]
    if (left?.type === 'identifier') {
      this.#running.bring([left.text], right?.text ?? '')
      const over = this.#values.value(right)
      if (isList(over)) this.#turns.set(left.text, over.slice(0, 16))
    }
    for (const shape of loopShapes(node, this.#values)) this.#shape(shape, node)
  }

  #string(node: Node): void {
    if (node.type !== 'call' && (node.parent?.type === 'binary_operator' || node.parent?.type === 'concatenated_string')) {
      // It is reported as part of the whole, if that is known.
      if (this.#values.text(node.parent) !== null) return
    }
    // Docstrings are for people.
    if (node.parent?.type === 'expression_statement' && node.type === 'string') return
    const text = this.#values.text(node)
    if (text !== null && text !== '') this.#gathering.add('text', text, node)
  }

  #shape(name: string, node: Node): void {
    this.#gathering.add('shape', name, node)
  }
}
