import { Fault } from '@caisson/wire'
import type { RuntimeRequest } from './runtime.ts'

/** Encoding for programs that cannot read JSON: fields that each end in NUL, lists preceded by their length. Throws BAD_REQUEST for code with a NUL. */
export function fieldsEndingInNul(language: string, request: RuntimeRequest): Uint8Array {
  const fields = fieldsOf(request)
  const broken = fields.find((field) => field.includes('\0'))
  if (broken !== undefined) throw new Fault('BAD_REQUEST', `${language} cannot hold a NUL character`, { hint: 'Take it out of the code.' })
  return Buffer.from(`${fields.join('\0')}\0`, 'utf8')
}

function fieldsOf(request: RuntimeRequest): string[] {
  switch (request.op) {
    case 'init':
      return ['init', request.cwd, ...environment(request.env)]
    case 'renew':
      return ['renew', request.seed]
    case 'interrupt':
      return ['interrupt', String(request.id)]
    case 'run': {
      const { program } = request
      const task = program === undefined ? ['cell'] : ['program', program.path, String(program.args.length), ...program.args]
      return ['run', String(request.id), request.code, ...environment(request.env), ...task]
    }
  }
}

/** A shell cannot set a variable with an invalid name (`A.B`), so it is left out. */
function environment(env: Record<string, string>): string[] {
  const settable = Object.entries(env).filter(([name]) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
  return [String(settable.length), ...settable.flat()]
}
