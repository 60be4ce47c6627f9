import type { Made } from './made.ts'

/** How a template is made: one file per template, one line in shelf.ts. */
export interface Recipe {
  readonly name: string
  /** Other names that callers know it by. */
  readonly aliases: readonly string[]
  /**
   * Builds what is not there yet below `folder` and says what there is. Content-addressed: a second build of the same finds all in place, and
   * folders of an earlier one are left alone (live sandboxes may have them bound; see setup.ts). Rejects with TEMPLATE_BUILD_FAILED or
   * LANGUAGE_UNAVAILABLE.
   */
  build(folder: string, kitchen: Kitchen, signal: AbortSignal): Promise<Made>
}

export interface Kitchen {
  /** Where this template's recipe files are (templates/NAME of the repository). */
  readonly files: string
  /** One line of progress. */
  say(line: string): void
}
