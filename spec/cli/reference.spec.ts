import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { VERBS } from '../../client/cli/shelf.ts'
import { CommandLine, ROOT } from './invoke.ts'

test.each(Object.keys(VERBS))('the reference names the options of %s, and no others', async (verb) => {
  await using line = await CommandLine.open()
  const { stdout } = await line.caisson([verb, '--help'])
  const listed = stdout.slice(stdout.indexOf('Options:')).split('\n\n')[0] ?? ''
  const helped = options(listed).filter((name) => name !== '--help')
  const page = await readFile(join(ROOT, 'docs/reference/cli.md'), 'utf8')
  const section = page.split(/^## /m).find((text) => text.startsWith(`caisson ${verb}\n`)) ?? ''
  const described = options(verb === 'doctor' ? section : section.replace(/^(?!\| `-).*$/gm, ''))
  expect(described).toEqual(helped)
})

function options(text: string): string[] {
  return [...new Set(text.match(/(?<![\w-])--[a-z][a-z-]+/g))].sort()
}
