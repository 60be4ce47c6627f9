import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Fact, Scanned } from '@caisson/policy'
import type { Language, Parser } from '@vscode/tree-sitter-wasm'
import { Gathering, TooMuch } from './gathering.ts'
import { readJavaScript } from './javascript.ts'
import { MAX_SCANNED_CHARACTERS } from './limits.ts'
import { readPython } from './python.ts'
import { readShell } from './shell.ts'

const PACKAGE = '@vscode/tree-sitter-wasm'
/** Both JavaScript and TypeScript are parsed as TypeScript with JSX. */
const GRAMMARS: Readonly<Record<Scanned, string>> = { python: 'python', javascript: 'tsx', shell: 'bash' }
const READ = { python: readPython, javascript: readJavaScript, shell: readShell } as const
/** Shell commands in a notebook: lines and cells with these prefixes. A name starts with a non-space, so that the pattern is unambiguous about spaces. */
const MAGIC = /^(\s*(?:[\w.,][\w.,\s]*=\s*)?)(!{1,2}|%(?:sx|system|sc)\s+)(.*)$/
const ANY_MAGIC = /^[^\S\n]*(?:[\w.,][\w.,\t ]*=[^\S\n]*)?[!%]/m
const OTHER_MAGIC = /^\s*%{1,2}\w/
const SHELL_CELL = /^%%(bash|sh|script|system|sx|!|zsh)\b[^\n]*\n/

/** The parser of a language is not loaded yet. */
class Missing extends Error {
  readonly language: Scanned

  constructor(language: Scanned) {
    super(`no parser of ${language}`)
    this.language = language
  }
}

/** The parsers, compiled to WebAssembly, which confines their bugs. Each is loaded when code of its language first arrives. */
export class Reader {
  readonly #found: { Parser: typeof Parser; Language: typeof Language }
  readonly #folder: string
  readonly #parsers = new Map<Scanned, Parser>()

  private constructor(found: { Parser: typeof Parser; Language: typeof Language }, folder: string) {
    this.#found = found
    this.#folder = folder
  }

  static async open(): Promise<Reader> {
    const require = createRequire(import.meta.url)
    const found = require(PACKAGE) as { Parser: typeof Parser; Language: typeof Language }
    await found.Parser.init()
    return new Reader(found, dirname(require.resolve(PACKAGE)))
  }

  /** Rejects with TooMuch. */
  async facts(language: Scanned, code: string): Promise<Fact[]> {
    for (;;) {
      const gathering = new Gathering(language, (inner, text, deeper) => this.#read(inner, text, deeper))
      try {
        this.#read(language, code, gathering)
        return gathering.facts
      } catch (failure) {
        if (!(failure instanceof Missing)) throw failure
        await this.#load(failure.language)
      }
    }
  }

  async #load(language: Scanned): Promise<void> {
    const parser = new this.#found.Parser()
    const grammar = await readFile(join(this.#folder, `tree-sitter-${GRAMMARS[language]}.wasm`))
    parser.setLanguage(await this.#found.Language.load(grammar))
    this.#parsers.set(language, parser)
  }

  #read(language: Scanned, code: string, gathering: Gathering): void {
    if (code.length > MAX_SCANNED_CHARACTERS) throw new TooMuch(`it is longer than ${MAX_SCANNED_CHARACTERS / 1024} KiB`)
    const parser = this.#parsers.get(language)
    if (parser === undefined) throw new Missing(language)
    const plain = language === 'python' ? withoutMagics(code, gathering) : code
    const tree = parser.parse(plain)
    if (tree === null) throw new TooMuch('it cannot be parsed')
    try {
      READ[language](tree.rootNode, gathering)
    } finally {
      tree.delete()
    }
  }
}

/** Blanks out magics so that line numbers stay. Lines inside triple-quoted texts are not magics. */
function withoutMagics(code: string, gathering: Gathering): string {
  if (!ANY_MAGIC.test(code)) return code
  const cell = SHELL_CELL.exec(code)
  const at = (row: number) => ({ startPosition: { row, column: 0 } })
  if (cell !== null) {
    gathering.add('shape', 'shell-magic', at(0))
    gathering.read('shell', code.slice(cell[0].length), at(1))
    return ''
  }
  let isText = false
  return code
    .split('\n')
    .map((line, row) => {
      const was = isText
      if ((line.match(/'''|"""/g)?.length ?? 0) % 2 === 1) isText = !isText
      if (was) return line
      const magic = MAGIC.exec(line)
      if (magic !== null) {
        gathering.add('shape', 'shell-magic', at(row))
        gathering.read('shell', magic[3] ?? '', at(row))
        return ''
      }
      return OTHER_MAGIC.test(line) && !/^\s*%\s/.test(line) ? '' : line
    })
    .join('\n')
}
