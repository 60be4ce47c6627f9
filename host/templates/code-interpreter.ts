import { join } from 'node:path'
import { machine } from './base.ts'
import { makeEtc } from './etc.ts'
import { makePython } from './python.ts'
import type { Recipe } from './recipe.ts'
import { searchPath } from './search-path.ts'

/** `base`, with a warmed-up Python that has the usual libraries. */
export const codeInterpreter: Recipe = {
  name: 'code-interpreter',
  // The name that E2B's code interpreter uses.
  aliases: ['code-interpreter-v1'],
  async build(folder, kitchen, signal) {
    const etc = await makeEtc(folder, searchPath(true), signal)
    const python = await makePython(folder, join(kitchen.files, 'requirements.txt'), kitchen.say, signal)
    const shown = await machine()
    return { version: 1, name: 'code-interpreter', etc, python, ...shown, languages: ['python', ...shown.languages] }
  },
}
