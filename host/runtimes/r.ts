import { LANGUAGES } from '@caisson/wire'
import { fieldsEndingInNul } from './fields.ts'
import type { Runtime, RuntimeRequest } from './runtime.ts'

const LENGTH_DIGITS = 10

/**
 * R itself. Where it finds packages is settled by the folder and the environment that it starts with, so a shell takes the first request. While R waits for
 * a program (`system`), an interrupt ends that program alone, and the code goes on.
 */
export const r: Runtime = {
  name: 'r',
  aliases: LANGUAGES.r,
  mend: 'Install R: as root, `apt-get install -y r-base-core`, then `./caisson setup`.',
  zygote: false,
  renews: true,
  start: { command: 'bash', args: ['--noprofile', '--norc', '/caisson/runtimes/r/start.bash'], env: {} },
  encode: encoded,
}

/** R waits for as many bytes as it asks for: it has to know how many there are. Throws BAD_REQUEST. */
function encoded(request: RuntimeRequest): Uint8Array {
  const fields = fieldsEndingInNul('r', request)
  if (request.op === 'init') return fields
  return Buffer.concat([Buffer.from(String(fields.length).padStart(LENGTH_DIGITS, '0')), fields])
}
