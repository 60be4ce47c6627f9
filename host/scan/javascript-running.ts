import type { Node } from '@vscode/tree-sitter-wasm'
import { Brought } from './brought.ts'
import type { Gathering } from './gathering.ts'
import type { JavaScriptValues } from './javascript-values.ts'
import { field, named } from './walking.ts'

const STARTS = /^child_process\.(exec|execSync|spawn|spawnSync|execFile|execFileSync|fork)$/
const RUNS_CODE = /^(eval|Function|Function\(\)|vm\.(runIn\w+|Script|compileFunction)|setTimeout|setInterval|setImmediate)$/
const BRINGS =
  /\batob\s*\(|['"`](base64|hex)['"`]|fromCharCode|fromCodePoint|\bunescape\s*\(|(inflate|gunzip|unzip|brotliDecompress)\w*\s*\(|createDecipher|\bfetch\s*\(|\baxios\b|\bgot\s*[.(]|https?\.get\s*\(|\.(png|jpe?g|gif|ico|bmp|wav)['"`]/
const RUNS_IT = /(?<![\w.])(eval|Function|execSync|exec)\s*\(/
/** Events that deliver data from elsewhere; a process's own terminal and parent do not count. */
const COMES = /\.(on|once|addEventListener|addListener)$/
const OWN = /^(process|parentPort|self|worker|rl|readline|window|document)\b/

/** What JavaScript code runs: programs, shells, code. Code found inline is read in turn; running decoded or fetched data is reported. */
export class JavaScriptRunning {
  readonly #gathering: Gathering
  readonly #values: JavaScriptValues
  readonly #brought: Brought
  /** A shell has been started. */
  hasShell = false

  constructor(gathering: Gathering, values: JavaScriptValues) {
    this.#gathering = gathering
    this.#values = values
    this.#brought = new Brought(BRINGS, (name) => values.names.get(name))
  }

  /** `names = said` */
  bring(names: readonly string[], said: string): void {
    this.#brought.bind(names, said)
  }

  /** `name += said` */
  grow(name: string, said: string): void {
    if (this.#brought.isIn(said)) this.#brought.keep([name])
  }

  /** `place.onmessage = taker` */
  comes(place: string, taker: Node | null): void {
    if (!OWN.test(place)) this.#handed(taker)
  }

  isStart(name: string): boolean {
    return STARTS.test(name)
  }

  /** Whether a function with this body runs something. */
  isRunner(body: string): boolean {
    return RUNS_IT.test(body)
  }

  call(name: string, args: readonly Node[], texts: readonly string[], node: Node): void {
    const [first = null, second = null] = args
    const callee = field(node, node.type === 'new_expression' ? 'constructor' : 'function')?.text ?? ''
    if (COMES.test(name) && /^(data|message|line)$/.test(texts[0] ?? '')) this.comes(callee, second)
    if (name.endsWith('.then') && this.#brought.isIn(callee)) this.#handed(first)
    if (/^(Worker|worker_threads\.Worker)$/.test(name) && /\beval\s*:\s*true/.test(second?.text ?? '')) this.#code(name, args, node)
    if (/^((node-)?pty\.spawn\(\)\.write|child_process\.spawn\(\)\.stdin\.write)$/.test(name)) this.unseen(first, node)
    const list = /^(.+)\.(push|unshift)$/.exec(callee.slice(0, 400))?.[1]
    if (list !== undefined) for (const arg of args) this.grow(list, arg.text)
    if (STARTS.test(name)) this.#start(name, args, node)
    if (RUNS_CODE.test(name)) this.#code(name, args, node)
    if (isConstructed(name, callee, texts[0] ?? '', node)) this.#walked(args, node)
  }

  /** Marks the parameters of a callback for incoming data as fetched. */
  #handed(taker: Node | null): void {
    if (taker === null || !/^(arrow_function|function_expression)$/.test(taker.type)) return
    const given = field(taker, 'parameter') ?? field(taker, 'parameters')
    this.#brought.keep(given?.text.match(/[A-Za-z_$][\w$]*/g)?.slice(0, 8) ?? [])
  }

  /** Reports what is run if it cannot be read in the code. */
  unseen(what: Node | null, node: Node): void {
    if (what === null) return
    const { text, isDecoded } = this.#values.read(what)
    const isKnown = text !== null || !this.#values.partly(what).startsWith('?')
    if (isDecoded || (!isKnown && this.#brought.isIn(what.text))) this.#gathering.add('shape', 'decoded-code', node)
  }

  #start(name: string, args: readonly Node[], node: Node): void {
    const [first = null, second] = args
    const program = this.#values.text(first)
    this.unseen(first, node)
    if (program === null) return
    if (/\b(ba|z)?sh$|cmd(\.exe)?$/.test(program)) this.hasShell = true
    if (/\.(exec|execSync)$/.test(name)) return this.#gathering.read('shell', program, node)
    const words = second?.type === 'array' ? named(second).map((word) => this.#values.text(word) ?? '?') : []
    this.#gathering.read('shell', [program, ...words].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' '), node)
  }

  #code(name: string, args: readonly Node[], node: Node): void {
    const isTimer = /^set/.test(name)
    const source = (name.startsWith('Function') ? args.at(-1) : args[0]) ?? null
    const code = this.#values.text(source)
    // Timers are usually given functions, which are not code in a text.
    if (isTimer && code === null) return
    if (source !== null && (this.#values.read(source).isDecoded || this.#brought.isIn(source.text)))
      this.#gathering.add('shape', 'decoded-code', node)
    this.#gathering.add('shape', 'computed-code', node)
    if (/^\s*return\s+(process|this|global|globalThis|require)\b/.test(code ?? '')) this.#gathering.add('shape', 'constructor-walk', node)
    if (code !== null) this.#gathering.read('javascript', code, node)
  }

  #walked(args: readonly Node[], node: Node): void {
    this.#gathering.add('shape', 'constructor-walk', node)
    const code = this.#values.text(args.at(-1) ?? null)
    if (code !== null) this.#gathering.read('javascript', code, node)
  }
}

/** A function's constructor creates functions from texts. */
function isConstructed(name: string, callee: string, first: string, node: Node): boolean {
  if (/constructor\.constructor$/.test(name) || /constructor\.constructor/.test(callee.slice(0, 200))) return true
  if (!/\.constructor$/.test(name) && !/\.constructor$/.test(callee)) return false
  return /^\s*return\b/.test(first) || (node.type === 'call_expression' && !/^(this|super|self)\b/.test(callee) && /[(;=]/.test(first))
}
