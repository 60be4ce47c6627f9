import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const [, section = ''] = README.split('## Beside others\n')
const rows = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => /^\| (?!System|--)/.test(line))

test('each feature of another system names specs that are there, or is said not to be there', () => {
  expect(rows.length).toBeGreaterThan(15)
  for (const row of rows) {
    const here = row.split('|').at(-2) ?? ''
    const named = [...here.matchAll(/`((?:spec|host|policy|bench)\/[^`]+)`/g)].map(([, path]) => path ?? '')
    if (named.length === 0) expect(row).toContain('not there')
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
  }
})

test('the systems are all there', () => {
  for (const system of ['E2B', 'Modal', 'OpenAI Code Interpreter', 'Claude Code', 'Replit', 'AWS sandbox accounts']) {
    expect(rows.some((row) => row.startsWith(`| ${system}`))).toBe(true)
  }
})
