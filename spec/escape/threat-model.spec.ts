import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const text = readFileSync(join(root, 'docs/threat-model.md'), 'utf8')
const section = text.split(/^## /m).find((part) => part.startsWith('Attacks')) ?? ''
const rows = section
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .slice(2)
  .map((line) =>
    line
      .split('|')
      .map((cell) => cell.trim())
      .slice(1, -1),
  )

test('every row names an attack, a defence, files and one spec', () => {
  expect(rows.length).toBeGreaterThan(30)
  for (const [attack, defence, where, spec, ...rest] of rows) {
    expect([attack, defence, where].every(Boolean), `${attack}`).toBe(true)
    expect(spec).toMatch(/^spec\/\S+\.spec\.ts$/)
    expect(rest).toEqual([])
  }
})

test('every file and spec that is named exists', () => {
  const named = rows.flatMap(([, , where, spec]) => [...(where ?? '').split(', '), spec ?? ''])
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([])
})

test('every spec here has a row', () => {
  const specs = readdirSync(join(root, 'spec/escape')).filter((name) => name.endsWith('.spec.ts') && name !== 'threat-model.spec.ts')
  const named = rows.map(([, , , spec]) => spec)
  expect(specs.map((name) => `spec/escape/${name}`).filter((spec) => !named.includes(spec))).toEqual([])
})
