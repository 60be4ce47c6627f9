import { createHash } from 'node:crypto'

/** Increased when its contents change although the template does not. */
const VERSION = '1'

/** Name of a template's own image, in its folder, by what was built (template.json). */
export function shownImage(made: string): string {
  return `shown-${createHash('sha256').update(VERSION).update(made).digest('hex').slice(0, 8)}.erofs`
}
