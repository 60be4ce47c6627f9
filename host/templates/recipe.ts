import type { Made } from './made.ts'

/** How a template is made: one file per template, one line in shelf.ts. */
export interface Recipe {
  readonly name: string
  /** Other names that clients use. */
  readonly aliases: readonly string[]
  /**
   * Builds what is missing in `folder` and returns what exists. Content-addressed: a second build of the same reuses everything, and leaves folders of an
   * earlier one alone (live sandboxes may have them mounted; see setup.ts). Rejects with TEMPLATE_BUILD_FAILED or LANGUAGE_UNAVAILABLE.
   */
  build(folder: string, kitchen: Kitchen, signal: AbortSignal): Promise<Made>
}

export interface Kitchen {
  /** Folder of this template's recipe files (templates/NAME of the repository). */
  readonly files: string
  /** Reports one line of progress. */
  say(line: string): void
}
