import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const LINES = readFileSync(join(ROOT, 'docs', 'promises.md'), 'utf8').split('\n')

/** The rows of the tables: what is promised, and what it rests on. */
const rows = LINES.filter((line) => line.startsWith('| ') && !line.startsWith('| Promise') && !line.startsWith('| What'))

test('every promise says which spec enforces it, or what measured it', () => {
  expect(rows.length).toBeGreaterThan(20)
  for (const row of rows) expect(row).toMatch(/`(spec|client|host|wire|policy|native|bench)\/[^`]+`|not run here/)
})

test('every spec and benchmark that is named is there', () => {
  const named = LINES.flatMap((line) =>
    [...line.matchAll(/`((?:spec|client|host|wire|policy|native|bench)\/[^`]+)`/g)].map(([, path]) => path ?? ''),
  )
  expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
})
