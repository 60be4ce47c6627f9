import { createRequire } from 'node:module'
import { join } from 'node:path'
import process from 'node:process'
import vm from 'node:vm'
import { rewritten } from './cell.ts'
import { SystemExit } from './failures.ts'
import type { Loader } from './loader.ts'
import { withoutTypes } from './without-types.ts'

const SYNC = '(() => {'
const ASYNC = '(async () => {'

/** The state of a context: its global scope. */
export class Session {
  readonly #typescript: boolean
  readonly #loader: Loader
  readonly #declared = new Set<string>()
  /** The stack frame that calls the last cell, which is not user code. */
  caller = ''
  readonly #requires = new Map<string, NodeRequire>()

  constructor(typescript: boolean, loader: Loader) {
    this.#typescript = typescript
    this.#loader = loader
  }

  /** Adds the globals that a cell has besides JavaScript's own. */
  furnish(display: (value: unknown) => void): void {
    const module = { exports: {} }
    const require = Object.assign((name: string): unknown => this.#require()(name), {
      resolve: (name: string) => this.#require().resolve(name),
    })
    Object.assign(globalThis, { require, module, exports: module.exports, display })
    process.exit = ((code?: unknown) => {
      throw new SystemExit(code ?? process.exitCode)
    }) as never
  }

  /**
   * Runs a cell. Returns [value of its last expression], or nothing; exceptions are the cell's own. If the value is a promise, it is awaited, so that what
   * `main()` prints and returns belongs to this cell. SIGINT interrupts running code at once.
   */
  async run(code: string, name: string): Promise<[unknown] | undefined> {
    const cell = this.#read(code, name)
    const fresh = cell.names.filter((declared) => !this.#declared.has(declared))
    if (fresh.length > 0) this.#evaluate(`let ${fresh.join(', ')}`, name, 0)
    for (const declared of fresh) this.#declared.add(declared)
    if (cell.functions !== '') this.#evaluate(cell.functions, name, 0)
    this.caller = `${name}:${cell.body.split('\n').length + 1}:3`
    const head = cell.awaits ? ASYNC : SYNC
    const value = (await this.#evaluate(`${head}${cell.body}\n})()`, name, head.length + cell.lead)) as [unknown] | undefined
    return value === undefined ? undefined : [await value[0]]
  }

  #read(code: string, name: string): ReturnType<typeof rewritten> {
    const script = this.#typescript ? withoutTypes(code, name) : code
    // `{ a: 1 }` alone means an object, not a block with a label.
    const object =
      script.trim().startsWith('{') && script.trim().endsWith('}')
        ? attempted(() => rewritten(`(${script}\n)`, this.#typescript))
        : undefined
    return object ?? this.#parsed(script, name)
  }

  #parsed(script: string, name: string): ReturnType<typeof rewritten> {
    try {
      return rewritten(script, this.#typescript)
    } catch (failure) {
      // E2B's JavaScript accepts types as well.
      const typed = this.#typescript ? undefined : attempted(() => rewritten(withoutTypes(script, name), true))
      if (typed !== undefined) return typed
      // V8's own error shows the place. Errors in syntax that only our parser accepts (imports among statements) come from that parser.
      const told = /^\s*(?:import|export)\b/m.test(script) ? undefined : toldByV8(script, name)
      if (told !== undefined) throw told
      throw placed(failure, script, name)
    }
  }

  #evaluate(script: string, name: string, columns: number): unknown {
    const base = join(process.cwd(), name)
    const importModuleDynamically = (async (specifier: string, _from: unknown, attributes: object) =>
      await this.#loader.import(specifier, base, attributes)) as never
    const made = new vm.Script(script, { filename: name, columnOffset: -columns, importModuleDynamically })
    return made.runInThisContext({ breakOnSigint: true })
  }

  /** The working directory may change. */
  #require(): NodeRequire {
    const folder = process.cwd()
    const known = this.#requires.get(folder) ?? createRequire(join(folder, 'cell'))
    this.#requires.set(folder, known)
    return known
  }
}

/** V8's syntax error. Undefined: there is none, or it points at our wrapper around the cell, as for a cell that ends too early. */
function toldByV8(script: string, name: string): unknown {
  try {
    new vm.Script(`${ASYNC}${script}\n})()`, { filename: name, columnOffset: -ASYNC.length })
  } catch (told) {
    const [, line] = /^.*:(\d+)\n.*\n *\^/.exec(told instanceof Error ? String(told.stack) : '') ?? []
    return Number(line) <= linesOf(script).length ? told : undefined
  }
  return undefined
}

/** Our parser's error, in V8's format. */
function placed(failure: unknown, script: string, name: string): unknown {
  if (!(failure instanceof SyntaxError && 'loc' in failure && 'pos' in failure)) return failure
  const { line, column } = failure.loc as { line: number; column: number }
  const [token] = /^(?:[\w$]+|\S)/.exec(script.slice(failure.pos as number)) ?? []
  const unexpected = token === undefined ? 'Unexpected end of input' : `Unexpected token '${token}'`
  const error = new SyntaxError(failure.message.replace(/ \(\d+:\d+\)$/, '').replace(/^Unexpected token$/, unexpected))
  error.stack = `${name}:${line}\n${linesOf(script)[line - 1] ?? ''}\n${' '.repeat(column)}^\n\nSyntaxError: ${error.message}`
  return error
}

function linesOf(script: string): string[] {
  return script.split(/\r\n|[\n\r\u2028\u2029]/)
}

function attempted<T>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch {
    return undefined
  }
}
