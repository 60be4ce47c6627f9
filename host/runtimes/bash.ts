import { Fault, LANGUAGES } from '@caisson/wire'
import type { Runtime, RuntimeRequest } from './runtime.ts'

/** One line: messages of the code in `eval` count their lines from it, and name `bash`. The rest is in main.bash. */
const LOOP = [
  '. /caisson/runtimes/bash/main.bash',
  'while __caisson_next; do { eval "$__caisson_code"; } 213>&-; { __caisson_settle $?; } 2>/dev/null; done',
].join('; ')

export const bash: Runtime = {
  name: 'bash',
  aliases: LANGUAGES.bash,
  zygote: false,
  start: { command: 'bash', args: ['--noprofile', '--norc', '-c', LOOP, 'bash'], env: {} },
  encode,
}

/** Bash reads no JSON: fields that each end in NUL, lists preceded by their length. */
function encode(request: RuntimeRequest): Uint8Array {
  const fields = fieldsOf(request)
  const broken = fields.find((field) => field.includes('\0'))
  if (broken !== undefined) throw new Fault('BAD_REQUEST', 'bash cannot hold a NUL character', { hint: 'Take it out of the code.' })
  return Buffer.from(`${fields.join('\0')}\0`, 'utf8')
}

function fieldsOf(request: RuntimeRequest): string[] {
  switch (request.op) {
    case 'init':
      return ['init', request.cwd, ...environment(request.env)]
    case 'interrupt':
      return ['interrupt', String(request.id)]
    case 'run': {
      const { program } = request
      const task = program === undefined ? ['cell'] : ['program', program.path, String(program.args.length), ...program.args]
      return ['run', String(request.id), request.code, ...environment(request.env), ...task]
    }
  }
}

/** A name that is none to bash (`A.B`) cannot be set by it. */
function environment(env: Record<string, string>): string[] {
  const settable = Object.entries(env).filter(([name]) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
  return [String(settable.length), ...settable.flat()]
}
