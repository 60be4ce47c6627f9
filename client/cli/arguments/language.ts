import { extname } from 'node:path'
import { Fault, LANGUAGES, type Language, languageOf, languageOfShebang } from '@caisson/wire'

const NOTEBOOK = '.ipynb'
const FROM_NOTEBOOK = 'A notebook is no program: `jupyter nbconvert --to script` makes one of it, with the language in its name.'

/** The language named by `--lang`. */
export function namedLanguage(word: string): Language {
  const language = languageOf(word)
  if (language === undefined) {
    throw new Fault('LANGUAGE_UNKNOWN', `${JSON.stringify(word)} is not a language`, {
      hint: `One of: ${Object.keys(LANGUAGES).join(', ')}.`,
    })
  }
  return language
}

/** The language of a file: by its extension, else by its first line. */
export function languageOfFile(path: string, code: string): Language {
  const language = languageOf(extname(path)) ?? languageOfShebang(code.split('\n', 1)[0] ?? '')
  if (language === undefined) {
    const told = extname(path).toLowerCase() === NOTEBOOK ? { hint: FROM_NOTEBOOK } : {}
    throw new Fault('LANGUAGE_UNKNOWN', `neither the name nor the first line of ${path} tells its language`, told)
  }
  return language
}
