import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const rows = rowsBelow('Comparison')

/** Of the table below a heading, without its own headings. */
function rowsBelow(heading: string): string[] {
  const [, section = ''] = README.split(`## ${heading}\n`)
  const [, , ...below] = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('|'))
  return below
}

function pathsIn(row: string): string[] {
  return [...row.matchAll(/`((?:spec|host|policy|bench)\/[^`]+)`/g)].map(([, path]) => path ?? '')
}

test('each reason to take it names what shows it', () => {
  const reasons = rowsBelow('Why Caisson')
  expect(reasons.length).toBeGreaterThan(5)
  for (const reason of reasons) {
    const named = pathsIn(reason.split('|').at(-2) ?? '')
    expect(named, reason).not.toEqual([])
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
  }
})

test('each feature of another system names specs that are there, or is said not to be available', () => {
  expect(rows.length).toBeGreaterThan(15)
  for (const row of rows) {
    const here = row.split('|').at(-2) ?? ''
    const named = pathsIn(here)
    if (named.length === 0) expect(row).toContain('not available')
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
  }
})

test('the systems are all there', () => {
  for (const system of ['E2B', 'Modal', 'OpenAI Code Interpreter', 'Claude Code', 'Replit', 'AWS sandbox accounts']) {
    expect(rows.some((row) => row.startsWith(`| ${system}`))).toBe(true)
  }
})
