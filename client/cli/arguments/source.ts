import { Fault } from '@caisson/wire'

/** What to run. */
export type Source =
  | { kind: 'file'; path: string; args: string[] }
  | { kind: 'code'; code: string }
  | { kind: 'stdin' }
  | { kind: 'command'; command: [string, ...string[]] }

/** `--` ends Caisson's own arguments. Without FILE before it, a command follows; with FILE, its arguments. */
export function splitAtDashes(argv: readonly string[]): { own: string[]; rest: string[] | undefined } {
  const at = argv.indexOf('--')
  return at === -1 ? { own: [...argv], rest: undefined } : { own: argv.slice(0, at), rest: argv.slice(at + 1) }
}

/** `operands`: the words before `--`; `rest`: those after it; `code`: the value of -c. */
export function source(operands: readonly string[], rest: readonly string[] | undefined, code: string | undefined): Source {
  const [first, ...more] = operands
  const args = [...more, ...(rest ?? [])]
  if (code !== undefined || first === '-') {
    const over = code === undefined ? args[0] : (first ?? args[0])
    if (over !== undefined) {
      throw new Fault('BAD_REQUEST', `${JSON.stringify(over)} is left over`, {
        hint: 'Only a FILE takes arguments; name one of FILE, -c CODE, -.',
      })
    }
    return code === undefined ? { kind: 'stdin' } : { kind: 'code', code }
  }
  if (first !== undefined) return { kind: 'file', path: first, args }
  const [program, ...programArgs] = rest ?? []
  if (program === undefined) {
    throw new Fault('BAD_REQUEST', 'nothing to run', { hint: 'Name a FILE, -c CODE, - for standard input, or -- COMMAND.' })
  }
  return { kind: 'command', command: [program, ...programArgs] }
}
