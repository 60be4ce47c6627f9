import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'
import * as shelf from './shelf.ts'
import { openTemplate, type Shelves } from './template.ts'

/** A built template, as clients see it. */
export interface KnownTemplate {
  readonly name: string
  readonly aliases: readonly string[]
  readonly languages: readonly string[]
  /** Changes with what was built. */
  readonly generation: string
  readonly builtMs: number
}

/** The template's own name, given that name or an alias. */
export function templateNamed(name: string): string | undefined {
  return Object.values(shelf).find((recipe) => recipe.name === name || recipe.aliases.includes(name))?.name
}

/** All built templates. */
export async function builtTemplates(shelves: Shelves, signal: AbortSignal): Promise<KnownTemplate[]> {
  const known: KnownTemplate[] = []
  for (const { name, aliases } of Object.values(shelf)) {
    try {
      const { languages, generation } = await openTemplate(name, shelves, signal)
      const { mtimeMs } = await stat(join(shelves.templates, name, 'template.json'))
      known.push({ name, aliases, languages, generation, builtMs: Math.floor(mtimeMs) })
    } catch (failure) {
      if (!(failure instanceof Fault) || failure.code !== 'TEMPLATE_NOT_BUILT') throw failure
    }
  }
  return known
}
