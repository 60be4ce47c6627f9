import { LANGUAGES } from '@caisson/wire'
import { fieldsEndingInNul } from './fields.ts'
import type { Runtime } from './runtime.ts'

/** On one line, because error messages of code in `eval` count their lines from it and name `bash`. The rest is in main.bash. */
const LOOP = [
  '. /caisson/runtimes/bash/main.bash',
  'while __caisson_next; do { eval "$__caisson_code"; } 213>&-; { __caisson_settle $?; } 2>/dev/null; done',
].join('; ')

export const bash: Runtime = {
  name: 'bash',
  aliases: LANGUAGES.bash,
  mend: 'Install bash as /bin/bash, then run `./caisson setup`.',
  zygote: false,
  renews: true,
  start: { command: 'bash', args: ['--noprofile', '--norc', '-c', LOOP, 'bash'], env: {} },
  encode: (request) => fieldsEndingInNul('bash', request),
}
