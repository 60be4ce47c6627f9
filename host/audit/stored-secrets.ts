import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Fault } from '@caisson/wire'

/**
 * Values of the installation's stored secrets, a file each beside the folder of its log, as native/audit/src/redaction.rs reads them. Throws AUDIT_UNWRITABLE:
 * what cannot be read cannot be taken out, and then nothing is recorded.
 */
export function storedSecrets(logFolder: string): string[] {
  const folder = join(dirname(logFolder), 'secrets')
  try {
    return orNone(() => readdirSync(folder)).flatMap((name) => orNone(() => [readFileSync(join(folder, name), 'utf8')]))
  } catch (cause) {
    throw new Fault('AUDIT_UNWRITABLE', `${folder}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/** There are none, or one was removed since it was listed. */
function orNone(look: () => string[]): string[] {
  try {
    return look()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
