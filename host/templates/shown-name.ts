import { createHash } from 'node:crypto'

/** Raised when what lies in it changes, though the template does not. */
const VERSION = '1'

/** The image of a template's own, below its folder, by what was built (template.json). */
export function shownImage(made: string): string {
  return `shown-${createHash('sha256').update(VERSION).update(made).digest('hex').slice(0, 8)}.erofs`
}
