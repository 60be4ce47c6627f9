import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Fault } from '@caisson/wire'

/**
 * Values of the installation's stored secrets, one file each beside the log's folder, read as native/audit/src/redaction.rs does. Throws AUDIT_UNWRITABLE: a
 * secret that cannot be read cannot be redacted, so nothing is recorded.
 */
export function storedSecrets(logFolder: string): string[] {
  const folder = join(dirname(logFolder), 'secrets')
  try {
    return orNone(() => readdirSync(folder)).flatMap((name) => orNone(() => [readFileSync(join(folder, name), 'utf8')]))
  } catch (cause) {
    throw new Fault('AUDIT_UNWRITABLE', `${folder}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/** There are none, or one was removed after it was listed. */
function orNone(look: () => string[]): string[] {
  try {
    return look()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
