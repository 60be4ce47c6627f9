import type { Node } from '@vscode/tree-sitter-wasm'
import type { Gathering } from './gathering.ts'
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
  /^(requests|httpx|urllib|urllib3|aiohttp|http|socket|s|sock|client|conn|session)\b.*\.(post|put|patch|get|request|urlopen|send|sendall|sendto|Request)$/
const ALL_ENVIRONMENT = /os\.environ\b(?!\s*(\.get\b|\[))|\benviron\.(items|copy)\b/
const FORKS = /\bfork\s*\(\s*\)|Popen\s*\(.*(__file__|sys\.argv|sys\.executable)|Process\s*\(\s*target/s
/** Where names are looked up by texts. */
const NAMESPACE = /(^|\.)(__dict__|modules|__globals__|__builtins__)$|^(globals|locals|vars)\(\)$/
/** Walks that begin at all there is, or at all that is somebody's. */
const EVERYTHING = /^(\/|~|\/(home|root|etc|usr|var|mnt|media|srv|opt)|\/home\/\w+)(\/?\*{0,2})?(\/\*(\.\*)?)?\/?$/
const WALKS = /(^|\.)(glob|iglob|rglob|walk|scandir|listdir|iterdir|fwalk)$/
const DESTROYS =
  /\b(rmtree|os\.(remove|unlink|truncate|rmdir)|unlink\s*\(|os\.kill\s*\()|\bencrypt\w*\s*\([\s\S]*\bopen\s*\(|\bopen\s*\([^)]*["'][wr]?b?\+?["'][\s\S]*\bencrypt/
const ENDLESS = /^(True|1|not False|itertools\.count\(\))$/

/** What Python code says. `tree` is of the code without its magics. */
export function readPython(root: Node, gathering: Gathering): void {
  new Reading(gathering).all(root)
}

class Reading {
  readonly #values = new PythonValues()
  /** Names of what was decoded or fetched. */
  readonly #decoded = new Set<string>()
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
    if (HIDES.test(right.text.slice(0, 4000))) this.#decoded.add(left.text)
    const name = this.#values.name(right)
    if (name !== '?' && name !== 'str' && !name.endsWith('()') && !name.includes('?')) this.#values.names.set(left.text, name)
    else if (/^(socket\.(socket|create_connection)|get_ipython|IPython\.get_ipython)\(\)$/.test(name))
      this.#values.names.set(left.text, name)
  }

  #call(node: Node): void {
    const callee = field(node, 'function')
    const name = this.#values.name(callee).replace(/^IPython\.get_ipython/, 'get_ipython')
    const args = named(field(node, 'arguments'))
    const texts = args.map((arg) => this.#values.text(arg) ?? '?')
    this.#gathering.add('call', name, node, texts)
    const [first = null] = args
    if (SHELLS.test(name)) this.#shell(first, node)
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
    // What is put together here is seen as a whole.
    if (/(^|\.)(Path|join|expanduser)$/.test(name)) this.#string(node)
  }

  /** All of it, under whatever name. */
  #saysEnvironment(text: string): boolean {
    if (ALL_ENVIRONMENT.test(text)) return true
    const aliases = [...this.#values.names].filter(([, full]) => full === 'os.environ').map(([alias]) => alias)
    return aliases.some((alias) => new RegExp(`(?<![\\w.])${alias}\\b(?!\\s*(\\.get\\b|\\[))`).test(text))
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
    const code = this.#values.text(first)
    const said = first?.text.slice(0, 4000) ?? ''
    const hidden = first !== null && (HIDES.test(said) || this.#decoded.has(first.text))
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
    const over = field(node, node.type === 'while_statement' ? 'condition' : 'right')?.text ?? ''
    if (
      node.type === 'for_statement' &&
      this.#isEverything(field(node, 'right')) &&
      DESTROYS.test(field(node, 'body')?.text.slice(0, 4000) ?? '')
    )
      this.#shape('destroys-everything', node)
    if (ENDLESS.test(over) && FORKS.test(field(node, 'body')?.text.slice(0, 4000) ?? '')) this.#shape('fork-bomb', node)
  }

  #isEverything(over: Node | null): boolean {
    if (over?.type !== 'call' || !WALKS.test(this.#values.name(field(over, 'function')))) return false
    const callee = field(over, 'function')
    const from = named(field(over, 'arguments'))[0] ?? null
    const of = callee?.type === 'attribute' ? this.#values.text(field(callee, 'object')) : null
    return EVERYTHING.test(of ?? this.#values.text(from) ?? '')
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
