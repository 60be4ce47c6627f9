import { LANGUAGES } from '@caisson/wire'
import { fieldsEndingInNul } from './fields.ts'
import type { Runtime, RuntimeRequest } from './runtime.ts'

const LENGTH_DIGITS = 10

/**
 * R itself. Its folder and environment decide at its start where it finds packages, so a shell reads the first request and then starts it. While R waits for a
 * program (`system`), an interrupt ends only that program, and the code goes on.
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

/** R blocks until it has read as many bytes as it asks for, so the length comes first. Throws BAD_REQUEST. */
function encoded(request: RuntimeRequest): Uint8Array {
  const fields = fieldsEndingInNul('r', request)
  if (request.op === 'init') return fields
  return Buffer.concat([Buffer.from(String(fields.length).padStart(LENGTH_DIGITS, '0')), fields])
}
