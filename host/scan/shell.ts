import type { Node } from '@vscode/tree-sitter-wasm'
import type { Gathering } from './gathering.ts'
import { EVERYTHING, FETCHES, INTERPRETER, NETWORK, readPipeline, SHELL } from './shell-pipelines.ts'
import { ShellWords, type Word } from './shell-words.ts'
import { field, named, walk } from './walking.ts'

const TYPES = new Set([
  'command',
  'pipeline',
  'variable_assignment',
  'file_redirect',
  'redirected_statement',
  'while_statement',
  'for_statement',
  'unset_command',
  'declaration_command',
])
/** Prefixes before the command that counts. */
const BEFORE = /^(sudo|doas|nohup|env|time|exec|command|builtin|timeout|nice|setsid|xargs|stdbuf|busybox|ionice|unbuffer|eatmydata)$/
/** `/???/c?t`, `{curl,-s}`: names that only the shell can resolve. */
const OBSCURE = /^(\/\S*[?[]\S*|\{[\w/.-]+,\S+\})(\s|$)/
/** `name() { name | name & }`, `name() { name & name & }` */
const BOMB = /([\w:.]{1,32})\s*\(\)\s*\{[\s;]{0,8}\1\s{0,4}(?:\|\s{0,4}\1\s{0,4})?&(?!&)/

/** Extracts facts from a shell script. */
export function readShell(root: Node, gathering: Gathering): void {
  new Reading(gathering).all(root)
}

class Reading {
  readonly #words = new ShellWords()
  readonly #fetched = new Set<string>()
  /** Variables with decoded or fetched content that is itself unknown. */
  readonly #brought = new Map<string, 'download-into-interpreter' | 'decoded-into-interpreter'>()
  readonly #gathering: Gathering
  /** The current folder, if it contains everything. */
  #folder = ''

  constructor(gathering: Gathering) {
    this.#gathering = gathering
  }

  all(root: Node): void {
    const bomb = root.text.split('\n').findIndex((line) => line.length < 2000 && BOMB.test(line))
    if (bomb >= 0 || BOMB.test(root.text.slice(0, 4000)))
      this.#gathering.add('shape', 'fork-bomb', { startPosition: { row: Math.max(0, bomb), column: 0 } })
    walk(root, TYPES, (node) => this.#visit(node))
  }

  #visit(node: Node): void {
    switch (node.type) {
      case 'command':
        return this.#command(node)
      case 'pipeline':
        return readPipeline(node, { gathering: this.#gathering, words: this.#words, nameOf: (stage) => this.#stage(stage) })
      case 'variable_assignment': {
        const name = field(node, 'name')?.text ?? ''
        const word = this.#words.assigned(node)
        this.#words.set(name, field(node, 'value'), word)
        if (!word.isKnown) this.#bring(name, word.text.slice(0, 2000))
        this.#gathering.add('variable', `${name}=${word.text}`, node)
        return this.#text(word, node)
      }
      case 'file_redirect': {
        const to = this.#words.word(field(node, 'destination'))
        const [sign = ''] = /[<>&|]+/.exec(node.text) ?? []
        if (sign.includes('>')) this.#gathering.add('write', to.text, node)
        return this.#text(to, node)
      }
      case 'for_statement':
        for (const part of named(node)) if (part.type !== 'do_group') this.#text(this.#words.word(part), node)
        return this.#endless(node)
      case 'redirected_statement':
        return this.#fed(node)
      case 'unset_command':
      case 'declaration_command':
        return this.#gathering.add('command', node.text, node)
      default:
        return this.#endless(node)
    }
  }

  #command(node: Node): void {
    const words = this.#words.command(node)
    const [name] = words
    if (name === undefined) return
    const text = node.text.slice(0, 400)
    if (name.isHidden || OBSCURE.test(text)) this.#gathering.add('shape', 'hidden-command', node)
    if (/^\{\S+,\S+\}/.test(text))
      this.#gathering.read(
        'shell',
        text.replace(/^\{(\S+?)\}/, (_, list: string) => list.replaceAll(',', ' ')),
        node,
      )
    const fed = named(node).find(({ type }) => type === 'herestring_redirect')
    if (fed !== undefined) this.#poured(this.#stage(node), fed)
    if (NETWORK.test(name.text) && /(\$\(|`)\s*(env|printenv|set|export)\b/.test(node.text))
      this.#gathering.add('shape', 'environment-sent', node)
    const split = this.#split(name.text)
    if (/\s/.test(split) && name.isKnown && split.trim() !== '') this.#gathering.read('shell', split, node)
    if (this.#fetched.has(name.text) || (INTERPRETER.test(name.text) && words.slice(1).some(({ text }) => this.#fetched.has(text))))
      this.#gathering.add('shape', 'download-into-interpreter', node)
    this.#remember(words)
    this.#said(words, node)
    for (const word of words) this.#text(word, node)
    let rest = words
    for (const word of this.#written(words)) this.#gathering.add('write', word.text, node)
    while (rest.length > 1 && BEFORE.test(rest[0]?.text ?? '')) {
      const from = rest.findIndex((word, index) => index > 0 && !/^(-|\w+=|\d+[smh]?$)/.test(word.text))
      if (from < 0) break
      rest = rest.slice(from)
      this.#said(rest, node)
    }
    this.#interpreted(rest, node)
  }

  /** Marks a variable as downloaded or decoded by the command that it is assigned from. */
  #bring(variable: string, text: string): void {
    if (/[$`]\(?.*\b(curl|wget)\b/s.test(text)) this.#brought.set(variable, 'download-into-interpreter')
    else if (/[$`]\(?.*\b(base64|xxd|openssl|rev|tr)\b/s.test(text)) this.#brought.set(variable, 'decoded-into-interpreter')
  }

  /** Splits an expanded word as the shell does. */
  #split(text: string): string {
    const by = this.#words.variables.get('IFS') ?? ' '
    return by.trim() === '' || by.length > 8 ? text : [...text].map((one) => (by.includes(one) ? ' ' : one)).join('')
  }

  /** Remembers the files that something was downloaded to. */
  #remember(words: readonly Word[]): void {
    if (!FETCHES.test(words[0]?.text ?? '')) return
    const option = words.findIndex(({ text }) => /^(-\w*[oO]|--output(-document)?)$/.test(text))
    const place =
      option > 0 ? words[option + 1]?.text : words.map(({ text }) => /^--output(?:-document)?=(.+)$/.exec(text)?.[1]).find(Boolean)
    if (place !== undefined && place !== '-' && !place.startsWith('-')) this.#keep(place)
  }

  /** `tee FILE`, `dd of=FILE`, `cp x FILE`. */
  #written(words: readonly Word[]): Word[] {
    const from = words.findIndex(({ text }) => /^(tee|cp|mv|install|ln|sed|truncate)$/.test(text))
    if (from < 0 || from > 2) return []
    const rest = words.slice(from + 1).filter(({ text }) => !text.startsWith('-'))
    return words[from]?.text === 'tee' ? rest : rest.slice(-1)
  }

  #keep(place: string): void {
    if (!place.startsWith('/dev/')) this.#fetched.add(place).add(place.replace(/^\.\//, '')).add(`./${place}`)
  }

  #said(words: readonly Word[], node: Node): void {
    const texts = words.map((word) => word.text)
    this.#gathering.add('command', texts.join(' '), node)
    if (texts[0] === 'cd') this.#folder = EVERYTHING.test(texts[1] ?? '~') ? (texts[1] ?? '~').replace(/\/$/, '') : ''
    if (texts[0] === 'cd' && texts[1] === '/') this.#folder = '/'
    // In this folder, a wildcard covers everything.
    const isAll = this.#folder !== '' && texts.some((text) => text === '*' || text === '.' || text === './*')
    if (isAll && /^(rm|shred|find)$/.test(texts[0] ?? ''))
      this.#gathering.add(
        'command',
        texts.map((text) => (/^(\.\/)?\*$|^\.$/.test(text) ? `${this.#folder.replace(/^\/$/, '')}/*` : text)).join(' '),
        node,
      )
  }

  /** Reads code among the arguments. */
  #interpreted([name, ...args]: readonly Word[], node: Node): void {
    const program = name?.text ?? ''
    const after = (option: RegExp): Word | undefined => args[args.findIndex((word) => option.test(word.text)) + 1]
    const at = (option: RegExp): boolean => args.some((word) => option.test(word.text))
    if (program === 'eval') {
      const isKnown = args.every((word) => word.isKnown)
      if (args.some((word) => word.isHidden)) this.#gathering.add('shape', 'decoded-into-interpreter', node)
      else if (!isKnown && /curl|wget/.test(node.text)) this.#gathering.add('shape', 'download-into-interpreter', node)
      else if (!isKnown && /base64|xxd|openssl|\brev\b/.test(node.text)) this.#gathering.add('shape', 'decoded-into-interpreter', node)
      else if (!isKnown) this.#gathering.add('shape', 'computed-code', node)
      for (const [, variable = ''] of node.text.slice(0, 4000).matchAll(/\$\{?(\w+)/g)) {
        const shape = this.#brought.get(variable)
        if (shape !== undefined) this.#gathering.add('shape', shape, node)
      }
      if (isKnown) this.#gathering.read('shell', args.map((word) => word.text).join(' '), node)
    }
    if (INTERPRETER.test(program) && named(node).some((part) => part.type === 'process_substitution' && /curl|wget/.test(part.text)))
      this.#gathering.add('shape', 'download-into-interpreter', node)
    if (program === 'trap') this.#inner('shell', args[0], node)
    if (program === 'alias')
      for (const { text } of args) if (text.includes('=')) this.#gathering.read('shell', text.slice(text.indexOf('=') + 1), node)
    const exec = args.findIndex(({ text }) => /^-(exec|execdir|ok)$/.test(text))
    if (program === 'find' && exec >= 0) this.#interpreted(args.slice(exec + 1), node)
    if ((SHELL.test(program) || /^(su|script|runuser|flock)$/.test(program)) && at(/^-\w*c$/)) this.#inner('shell', after(/^-\w*c$/), node)
    if (/^(\/\S+\/)?python[\d.]*$/.test(program) && at(/^-\w*c$/)) this.#inner('python', after(/^-\w*c$/), node)
    if (/^(\/\S+\/)?node$/.test(program) && at(/^(-e|--eval|-p)$/)) this.#inner('javascript', after(/^(-e|--eval|-p)$/), node)
    if (/^(\/\S+\/)?(perl|ruby|php|lua|tclsh|[gm]?awk)$/.test(program)) {
      const code =
        (/awk$/.test(program) ? args.find(({ text }) => text.includes('{')) : at(/^-\w*[er]$/) ? after(/^-\w*[er]$/) : undefined)?.text ??
        ''
      if (/sock/i.test(code) && /exec|system|\/bin\/(ba)?sh|popen|STDIN|spawn|`|\bqx\b/.test(code))
        this.#gathering.add('shape', 'socket-to-shell', node)
      for (const [, inner = ''] of code.matchAll(/(?:system|exec|`)\s*(?:\(\s*)?["']([^"']{1,2000})["']/g))
        this.#gathering.read('shell', inner, node)
    }
  }

  #inner(language: 'shell' | 'python' | 'javascript', code: Word | undefined, node: Node): void {
    if (code === undefined) return
    if (code.isHidden) this.#gathering.add('shape', 'decoded-into-interpreter', node)
    if (!code.isKnown && /(\$\(|`).*\b(base64|base32|xxd|gunzip|zcat|openssl|rev)\b/s.test(code.text))
      this.#gathering.add('shape', 'decoded-into-interpreter', node)
    if (!code.isKnown && /\$\(.*(curl|wget)|`(curl|wget)/s.test(code.text)) this.#gathering.add('shape', 'download-into-interpreter', node)
    this.#gathering.read(language, code.text, node)
  }

  /** The command of a stage, without its prefixes. */
  #stage(stage: Node): string {
    if (stage.type !== 'command') return ''
    const words = this.#words.command(stage).map((word) => word.text)
    let from = 0
    while (from < words.length - 1 && (BEFORE.test(words[from] ?? '') || (from > 0 && /^(-|\w+=)/.test(words[from] ?? '')))) from += 1
    const [first = ''] = this.#split(words[from] ?? '')
      .trim()
      .split(/\s+/)
    return first
  }

  /** A here-document is its command's input. */
  #fed(node: Node): void {
    const body = field(node, 'body')
    if (body?.type !== 'command') return
    if (FETCHES.test(this.#stage(body)))
      for (const redirect of named(node))
        if (redirect.type === 'file_redirect') this.#keep(this.#words.word(field(redirect, 'destination')).text)
    for (const redirect of named(node)) this.#poured(this.#stage(body), redirect)
  }

  /** Reads a command's input from a here-document or here-string. */
  #poured(program: string, redirect: Node): void {
    const document = redirect.type === 'heredoc_redirect' ? named(redirect).find(({ type }) => type === 'heredoc_body') : undefined
    const word = redirect.type === 'herestring_redirect' ? this.#words.word(named(redirect)[0] ?? null) : undefined
    const code = document?.text ?? word?.text
    if (code === undefined) return
    if (SHELL.test(program)) this.#gathering.read('shell', code, redirect)
    else if (/python[\d.]*$/.test(program)) this.#gathering.read('python', code, redirect)
    else if (/(^|\/)node$/.test(program)) this.#gathering.read('javascript', code, redirect)
    else this.#gathering.add('text', code, redirect)
    if (word === undefined || !INTERPRETER.test(program)) return
    if (word.isHidden || /(\$\(|`).*\b(base64|base32|xxd|gunzip|zcat|openssl|rev)\b/s.test(word.text))
      this.#gathering.add('shape', 'decoded-into-interpreter', redirect)
    if (/(\$\(|`).*\b(curl|wget)\b/s.test(word.text)) this.#gathering.add('shape', 'download-into-interpreter', redirect)
  }

  #endless(node: Node): void {
    const text = node.text.slice(0, 4000)
    // Data sent piece by piece, in DNS names queried from a foreign server.
    if (
      /^for\b.*\$\(.*\b(env|base64|base32|xxd|od|hexdump)\b/.test(text.slice(0, 400)) &&
      /\b(dig|nslookup|host|drill|ping|curl|wget)\b[^;\n]*\$/.test(text)
    )
      this.#gathering.add('shape', 'files-sent', node)
    if (!/^while\s+(true|:|\[\s*1\s*\])|^for\s*\(\(\s*;\s*;\s*\)\)/.test(text)) return
    const isSelf = /(\$0|"\$0"|\bbash\s+\$0)[^\n]*&/.test(text)
    // Commands in the background, in a loop that never waits.
    const isFlood = /[^&>|]&(?![&>\d])/.test(text) && !/\b(wait|sleep|read|inotifywait|accept|jobs|flock|curl|nc)\b/.test(text)
    if (isSelf || isFlood) this.#gathering.add('shape', 'fork-bomb', node)
  }

  #text(word: Word, node: Node): void {
    if (word.text !== '' && word.text.length < 4096) this.#gathering.add('text', word.text, node)
  }
}
