import type { Node } from '@vscode/tree-sitter-wasm'
import { Brought } from './brought.ts'
import type { Gathering } from './gathering.ts'
import { isList } from './known-values.ts'
import type { PythonValues } from './python-values.ts'
import { field, named } from './walking.ts'

const SHELLS =
  /^((os|posix|nt)\.(system|popen)|(subprocess|commands)\.(getoutput|getstatusoutput)|asyncio\.(subprocess\.)?create_subprocess_shell|pty\.spawn|get_ipython\(\)\.(system|getoutput)|pexpect\.(run|spawn)|os\.popen[234])$/
const STARTS =
  /^(subprocess\.(run|call|check_call|check_output|Popen)|asyncio\.(subprocess\.)?create_subprocess_exec|_posixsubprocess\.fork_exec|(os|posix)\.(exec|spawn|posix_spawn)\w*)$/
const RUNS_CODE =
  /^(eval|exec|compile|execfile|ctypes\.pythonapi\.(PyRun_\w+|Py_CompileString\w*)|code\.(InteractiveConsole|interact)|runpy\.run_\w+)$/
const BRINGS =
  /b64decode|b32decode|b85decode|a85decode|unhexlify|fromhex|decompress|marshal\.loads|rot.?13|urlopen|urlretrieve|wget\.download|requests\.(get|post)|httpx\.(get|post)|a2b_|\bchr\b|\bto_bytes\b|\bmaketrans\b|\.recv(from)?\s*\(|open_connection|create_connection|\.decrypt\s*\(|\.(png|jpe?g|gif|ico|bmp|wav)['"]/
const RUNS_IT = /(?<![\w.])(exec|eval)\s*\(|\bos\.(system|popen)\s*\(|\bshell\s*=\s*True/
const FETCHES = /urlopen|urlretrieve|requests\.(get|post)|httpx\.|\.recv(from)?\s*\(|open_connection|create_connection/
const UNPICKLES = /^(c?Pickle|pickle|_pickle|dill|cloudpickle|joblib|shelve|jsonpickle|marshal)\.(loads?|decode|Unpickler)$/
/** Functions that run code or a command when passed as a callback. */
export const RUNS = /^(exec|eval|os\.(system|popen)|subprocess\.\w+)$/

/** What Python code runs: programs, shells, code. Code found inline is read in turn; running decoded or fetched data is reported. */
export class PythonRunning {
  readonly #gathering: Gathering
  readonly #values: PythonValues
  readonly #brought: Brought
  readonly #fetched: Brought

  constructor(gathering: Gathering, values: PythonValues) {
    this.#gathering = gathering
    this.#values = values
    this.#brought = new Brought(BRINGS, (name) => values.names.get(name))
    this.#fetched = new Brought(FETCHES, (name) => values.names.get(name))
  }

  /** `names = said` */
  bring(names: readonly string[], said: string): void {
    this.#brought.bind(names, said)
    this.#fetched.bind(names, said)
  }

  /** `name += said` */
  grow(name: string, said: string): void {
    if (this.#brought.isIn(said)) this.#brought.keep([name])
  }

  /** Whether a function with this body runs something. */
  isRunner(body: string): boolean {
    return RUNS_IT.test(body)
  }

  call(name: string, args: readonly Node[], texts: readonly string[], node: Node): void {
    const [first = null] = args
    if (SHELLS.test(name)) this.#shell(first, node)
    if (/^get_ipython\(\)\.run_(cell|line)_magic$/.test(name) && /^(bash|sh|script|system|sx|!)/.test(texts[0] ?? ''))
      this.#shell(args.at(-1) ?? null, node)
    if (STARTS.test(name))
      this.#start(/^os\.(exec|posix_spawn)/.test(name) ? args.slice(1) : /^os\.spawn/.test(name) ? args.slice(2) : args, node)
    if (RUNS_CODE.test(name)) this.#code(first, node)
    if (UNPICKLES.test(name) && first !== null && this.#fetched.isIn(first.text)) this.#gathering.add('shape', 'decoded-code', node)
    const list = /^(.+)\.(append|extend|insert)$/.exec(field(node, 'function')?.text.slice(0, 400) ?? '')?.[1]
    if (list !== undefined) for (const arg of args) this.grow(list, arg.text)
    this.#handedOn(args, node)
  }

  /** A function that runs things is passed on together with what to run: `map(os.system, [...])`, `Thread(target=exec, args=(x,))`. */
  #handedOn(args: readonly Node[], node: Node): void {
    const given = args.map((arg) => (arg.type === 'keyword_argument' ? field(arg, 'value') : arg))
    const taker = given.find((arg) => /^(identifier|attribute)$/.test(arg?.type ?? '') && RUNS.test(this.#values.name(arg)))
    if (taker === undefined) return
    const isCode = /^(exec|eval)$/.test(this.#values.name(taker))
    for (const one of given) {
      if (one === taker || one === null) continue
      this.unseen(one, node)
      const value = this.#values.value(one)
      for (const text of isList(value) ? value.slice(0, 16) : [value])
        if (typeof text === 'string' && text !== '') this.#gathering.read(isCode ? 'python' : 'shell', text, node)
    }
  }

  /** Reports what is run if it cannot be read in the code. */
  unseen(what: Node | null, node: Node): void {
    if (what === null) return
    const { text, isDecoded } = this.#values.read(what)
    const isKnown = !(text ?? this.#values.partly(what)).startsWith('?')
    if (isDecoded || (!isKnown && this.#brought.isIn(what.text))) this.#gathering.add('shape', 'decoded-code', node)
  }

  #shell(first: Node | null, node: Node): void {
    if (first?.type === 'list') return this.#start([first], node)
    this.unseen(first, node)
    const code = this.#values.text(first)
    if (code !== null) this.#gathering.read('shell', code, node)
  }

  #start(args: readonly Node[], node: Node): void {
    const [first = null] = args
    const code = this.#values.text(first)
    this.unseen(first !== null && ['list', 'tuple'].includes(first.type) ? (named(first)[0] ?? null) : first, node)
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
    if (first !== null && (this.#values.read(first).isDecoded || this.#brought.isIn(first.text)))
      this.#gathering.add('shape', 'decoded-code', node)
    if (code === null || first?.type !== 'string') this.#gathering.add('shape', 'computed-code', node)
    if (code !== null) this.#gathering.read('python', code, node)
  }
}

/** Quoted as a shell word. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
