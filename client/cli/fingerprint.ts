import { createHmac, randomBytes } from 'node:crypto'
import { fingerprintOf } from '@caisson/policy/fingerprint'
import { Fault } from '@caisson/wire'
import { hiddenValue } from './arguments/value.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const SALT_BYTES = 16
const LEAST_BYTES = 8
const MOST_BYTES = 512

const EXAMPLES = `
The value is read from standard input, so that it appears in no history and no process list; a line break at its end is dropped. The result goes into
dlp.fingerprints of a network policy. All values of one policy share a salt: pass the salt of the first with --salt for the others. A value that can be
guessed (a word, a date of birth) can also be guessed from its fingerprint, by anyone who has the policy.

Examples:
  caisson fingerprint database-password <password.txt
  pass show signing-key | caisson fingerprint signing-key --salt 00112233445566778899aabbccddeeff`

/** Prints what a policy may contain in place of a secret. */
export async function fingerprint(argv: readonly string[]): Promise<number> {
  const command = verbParser('fingerprint')
    .usage('[options] NAME')
    .description(
      'Prints the fingerprint of a value, by which the gate recognises it when it leaves a sandbox. The value cannot be read from it.',
    )
    .argument('<NAME>')
    .option('--salt <hex>', 'the salt of the policy; by default a new one')
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const [name = ''] = command.args
  const { salt = randomBytes(SALT_BYTES).toString('hex') } = command.opts<{ salt?: string }>()
  if (!/^[0-9a-f]{32}$/.test(salt)) throw new Fault('BAD_REQUEST', `--salt: ${SALT_BYTES} bytes in hex are expected`)
  const value = await hiddenValue(name, MOST_BYTES)
  if (value.length < LEAST_BYTES || value.length > MOST_BYTES) {
    throw new Fault(
      'BAD_REQUEST',
      `the value has ${value.length > MOST_BYTES ? `more than ${MOST_BYTES}` : value.length} bytes; it must have ${LEAST_BYTES} to ${MOST_BYTES}`,
    )
  }
  const digest = (key: string, bytes: Uint8Array) => createHmac('sha256', Buffer.from(key, 'hex')).update(bytes).digest('hex')
  process.stdout.write(`${JSON.stringify({ salt, values: [fingerprintOf(name, value, salt, digest)] }, null, 2)}\n`)
  return 0
}
