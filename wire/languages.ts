/** Other words for each language: file extensions (with a dot), aliases, and the program names found in shebangs. */
export const LANGUAGES = {
  python: ['.py', '.pyw', '.ipy', 'py', 'python3', 'ipython', 'ipython3'],
  javascript: ['.js', '.mjs', '.cjs', 'js', 'node', 'nodejs'],
  typescript: ['.ts', '.mts', '.cts', 'ts', 'tsx', 'ts-node'],
  bash: ['.sh', '.bash', 'sh', 'shell'],
  java: ['.java', '.jsh', 'jshell'],
  r: ['.r', 'rscript', 'ir'],
} as const satisfies Record<string, readonly string[]>

export type Language = keyof typeof LANGUAGES

/** The language that a word (name, alias, or extension with its dot) stands for, or undefined. */
export function languageOf(word: string): Language | undefined {
  const wanted = word.toLowerCase()
  for (const [language, words] of Object.entries(LANGUAGES) as [Language, readonly string[]][]) {
    if (wanted === language || words.includes(wanted)) return language
  }
  return undefined
}

/** The language named by a program's first line: `#!/usr/bin/env python3`, `#!/bin/sh -e`, `#!/usr/bin/env -S node --x`. */
export function languageOfShebang(firstLine: string): Language | undefined {
  if (!firstLine.startsWith('#!')) return undefined
  const words = firstLine.slice(2).trim().split(/\s+/)
  const interpreter = words[0]?.endsWith('/env') ? words.slice(1).find((word) => !word.startsWith('-') && !word.includes('=')) : words[0]
  const name = interpreter?.split('/').pop()
  if (name === undefined || name === '') return undefined
  return languageOf(name) ?? languageOf(name.replace(/[0-9.]+$/, ''))
}
