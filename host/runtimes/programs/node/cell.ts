import type * as acorn from 'acorn'
import { parse } from 'acorn'
import { stringify } from './control.ts'
import { blanked, Edits } from './edits.ts'

/**
 * A cell, rewritten so that its declarations outlive it and may be repeated. All its names become variables of the global scope, declared once. Its
 * declarations become assignments, and its imports are awaited. No line moves, so that stacks and messages keep their positions.
 */
export interface Cell {
  /** Names that the cell declares. */
  names: string[]
  /** Assigns the functions first, because a cell may call them before their definition. */
  functions: string
  /** The rest, as the body of an arrow function that returns [value of the last expression], or nothing. */
  body: string
  /** Length of our prefix on the first line, so that no column moves either. */
  lead: number
  /** Whether that function must be async. */
  awaits: boolean
}

type Node = acorn.AnyNode
type Functions = 'FunctionDeclaration' | 'FunctionExpression' | 'ArrowFunctionExpression'
const FUNCTIONS: readonly string[] = ['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'] satisfies Functions[]
const RETURNS = ';return [('
const SOURCE = {
  ecmaVersion: 'latest',
  sourceType: 'script',
  allowAwaitOutsideFunction: true,
  allowImportExportEverywhere: true,
  allowHashBang: true,
} as const

/** Throws SyntaxError. */
export function program(code: string): acorn.Program {
  return parse(code, SOURCE)
}

/** Whether a source can only be an ES module. */
export function isModule(code: string): boolean {
  const { body } = program(code)
  return (
    body.some((statement) => /^(Import|Export)/.test(statement.type)) || some(body, (node) => isAwait(node) || node.type === 'MetaProperty')
  )
}

/** `lenient`: a name that a module does not export is undefined, like a type once types are removed. Throws SyntaxError. */
export function rewritten(code: string, lenient: boolean): Cell {
  const tree = program(code)
  const rewriting = new Rewriting(code, lenient)
  for (const statement of tree.body) rewriting.statement(statement)
  const last = tree.body.findLastIndex(({ type }) => type !== 'EmptyStatement')
  const value = tree.body[last]
  if (value !== undefined) rewriting.value(value, tree.body[last - 1]?.end ?? 0)
  return rewriting.cell(some(tree.body, (node) => isAwait(node) || node.type === 'ImportDeclaration' || isReExport(node)))
}

class Rewriting {
  readonly #code: string
  readonly #lenient: boolean
  readonly #body: Edits
  readonly #names = new Set<string>()
  readonly #functions: { start: number; end: number; text: string }[] = []
  #lead = 0

  constructor(code: string, lenient: boolean) {
    this.#code = code
    this.#lenient = lenient
    this.#body = new Edits(code)
    if (code.startsWith('#!')) this.#body.blank(0, code.search(/[\n\r]|$/))
  }

  cell(awaits: boolean): Cell {
    let functions = ''
    let at = 0
    for (const { start, end, text } of this.#functions) {
      functions += blanked(this.#code.slice(at, start)) + text
      at = end
    }
    return { names: [...this.#names], functions, body: this.#body.toString(), lead: this.#lead, awaits }
  }

  statement(node: acorn.Statement | acorn.ModuleDeclaration): void {
    switch (node.type) {
      case 'VariableDeclaration':
        this.#declaration(node)
        break
      case 'FunctionDeclaration':
        this.#function(node, node.id)
        break
      case 'ClassDeclaration':
        this.#class(node, node.id)
        break
      case 'ImportDeclaration':
        this.#import(node)
        break
      case 'ExportNamedDeclaration':
        if (node.declaration != null) {
          this.#body.blank(node.start, node.declaration.start)
          this.statement(node.declaration)
        } else this.#reExport(node)
        break
      case 'ExportAllDeclaration':
        this.#reExport(node)
        break
      case 'ExportDefaultDeclaration':
        this.#exportDefault(node)
        break
      default:
        this.#variables(node)
    }
  }

  /** Makes the last statement return its value, if it has one. `after`: the end of the statement before it, which may be lines above. */
  value(node: acorn.Statement | acorn.ModuleDeclaration, after: number): void {
    const hasValue = node.type === 'ExpressionStatement' || (node.type === 'ExportDefaultDeclaration' && isExpression(node.declaration))
    if (!hasValue) return
    this.#body.insert(after, RETURNS)
    this.#body.insert(this.#endOf(node), ')]')
    if (after === 0) this.#lead = RETURNS.length
  }

  #endOf(node: Node): number {
    return this.#code[node.end - 1] === ';' ? node.end - 1 : node.end
  }

  #declaration(node: acorn.VariableDeclaration): void {
    const [first] = node.declarations
    if (first === undefined) return
    // `void` may follow a line without a semicolon, or an `if` without a block.
    this.#body.replace(node.start, first.start, 'void (')
    for (const one of node.declarations) {
      this.#pattern(one.id)
      if (one.init == null && node.kind !== 'var') this.#body.insert(one.end, ' = undefined')
      this.#body.insert(one.start, '(')
      this.#body.insert(one.end, ')')
    }
    this.#body.replace(this.#endOf(node), node.end, ');')
  }

  #function(node: acorn.FunctionDeclaration | acorn.AnonymousFunctionDeclaration, id: acorn.Identifier | null): void {
    this.#body.blank(node.start, node.end)
    if (id === null) return
    this.#names.add(id.name)
    // Inside the function, its name must mean the variable, which can be reassigned. If the function does not use its name, its source text stays as written.
    const inside = this.#code.slice(id.end, node.end)
    const text = this.#code.slice(node.start, id.start) + (inside.includes(id.name) ? blanked(id.name) : id.name) + inside
    this.#functions.push({ start: node.start, end: node.end, text: `${id.name}=${text};` })
  }

  #class(node: acorn.ClassDeclaration | acorn.AnonymousClassDeclaration, id: acorn.Identifier | null): void {
    if (id === null) return
    this.#names.add(id.name)
    this.#body.insert(node.start, `void (${id.name} = `)
    this.#body.insert(node.end, ');')
  }

  #import(node: acorn.ImportDeclaration): void {
    const taken: string[] = []
    const wanted: string[] = []
    for (const specifier of node.specifiers) {
      this.#names.add(specifier.local.name)
      if (specifier.type === 'ImportNamespaceSpecifier') {
        taken.push(`${specifier.local.name} = $`)
        continue
      }
      const name = specifier.type === 'ImportDefaultSpecifier' ? 'default' : nameOf(specifier.imported)
      wanted.push(name)
      taken.push(`${specifier.local.name} = $[${stringify(name)}]`)
    }
    const check = this.#lenient ? [] : wanted.map((name) => `if (!(${stringify(name)} in $)) throw new SyntaxError(${missing(node, name)})`)
    const steps = [...check, ...taken].join('; ')
    this.#line(node, `;{ const $ = await import(${this.#from(node)}); ${steps} }`)
  }

  #reExport(node: acorn.ExportNamedDeclaration | acorn.ExportAllDeclaration): void {
    this.#line(node, node.source == null ? '' : `;await import(${this.#from(node as acorn.ExportAllDeclaration)});`)
  }

  #exportDefault(node: acorn.ExportDefaultDeclaration): void {
    const { declaration } = node
    this.#body.blank(node.start, declaration.start)
    if (declaration.type === 'FunctionDeclaration') this.#function(declaration, declaration.id)
    else if (declaration.type === 'ClassDeclaration') this.#class(declaration, declaration.id)
  }

  /** Replaces a statement, which may span several lines, by one line. */
  #line(node: Node, text: string): void {
    const breaks = blanked(this.#code.slice(node.start, node.end)).replace(/ /g, '')
    this.#body.replace(node.start, node.end, text + breaks)
  }

  #from(node: acorn.ImportDeclaration | acorn.ExportAllDeclaration): string {
    const attributes = node.attributes.map(({ key, value }) => `${stringify(nameOf(key))}: ${value.raw ?? ''}`)
    const source = stringify(node.source?.value)
    return attributes.length === 0 ? source : `${source}, { with: { ${attributes.join(', ')} } }`
  }

  /** `var` belongs to the whole cell, however deep in its blocks. */
  #variables(node: Node): void {
    walk(node, (inner, parent) => {
      if (inner.type !== 'VariableDeclaration' || inner.kind !== 'var') return
      const [first] = inner.declarations
      if (first === undefined) return
      const isHead = parent !== undefined && /^For/.test(parent.type) && !('body' in parent && (parent.body as Node) === inner)
      if (!isHead) {
        this.#declaration(inner)
        return
      }
      for (const one of inner.declarations) this.#pattern(one.id)
      // A bare name without a value (`for (var i; ...)`) is a valid expression, too.
      this.#body.replace(inner.start, first.start, '')
    })
  }

  #pattern(pattern: acorn.Pattern): void {
    if (pattern.type === 'Identifier') this.#names.add(pattern.name)
    else if (pattern.type === 'ObjectPattern') {
      for (const property of pattern.properties) this.#pattern(property.type === 'Property' ? property.value : property.argument)
    } else if (pattern.type === 'ArrayPattern') {
      for (const element of pattern.elements) if (element !== null) this.#pattern(element)
    } else if (pattern.type === 'AssignmentPattern') this.#pattern(pattern.left)
    else if (pattern.type === 'RestElement') this.#pattern(pattern.argument)
  }
}

function nameOf(node: acorn.Identifier | acorn.Literal): string {
  return node.type === 'Identifier' ? node.name : String(node.value)
}

function missing(node: acorn.ImportDeclaration, name: string): string {
  return stringify(`The requested module '${String(node.source.value)}' does not provide an export named '${name}'`)
}

function isExpression(node: { type: string }): boolean {
  return node.type !== 'FunctionDeclaration' && node.type !== 'ClassDeclaration'
}

function isAwait(node: Node): boolean {
  return node.type === 'AwaitExpression' || (node.type === 'ForOfStatement' && node.await)
}

function isReExport(node: Node): boolean {
  return node.type === 'ExportAllDeclaration' || (node.type === 'ExportNamedDeclaration' && node.source != null)
}

function some(nodes: readonly Node[], found: (node: Node) => boolean): boolean {
  let result = false
  for (const node of nodes) {
    walk(node, (inner) => {
      result ||= found(inner)
    })
  }
  return result
}

/** Visits every node of the cell itself, without those inside its functions. */
function walk(node: Node, visit: (node: Node, parent: Node | undefined) => void, parent?: Node): void {
  visit(node, parent)
  if (FUNCTIONS.includes(node.type)) return
  for (const value of Object.values(node) as unknown[]) {
    for (const child of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (typeof child === 'object' && child !== null && 'type' in child && typeof child.type === 'string') walk(child as Node, visit, node)
    }
  }
}
