import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Fault } from '@caisson/wire'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { countOrNone, cpusOrNone } from './count.ts'
import { duration } from './duration.ts'
import { environment } from './environment.ts'
import { languageOfFile, namedLanguage } from './language.ts'
import { mount } from './mount.ts'
import { network } from './network.ts'
import { size, sizeOrNone } from './size.ts'
import { source, splitAtDashes } from './source.ts'

const code = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    if (error instanceof Fault) return error.code
    throw error
  }
  return 'accepted'
}

test.each([
  ['30s', 30_000],
  ['500ms', 500],
  ['1.5m', 90_000],
  ['2h', 7_200_000],
  ['none', null],
])('%j is a duration of %j ms', (text, ms) => {
  expect(duration(text)).toBe(ms)
})

test.each(['', '30', '0s', '-1s', '1d', 's', '1e3s', '30 s', '999999999h', '0.1ms', 'NaNs'])('%j is not a duration', (text) => {
  expect(code(() => duration(text))).toBe('BAD_SIZE')
})

test.each([
  ['512', 512],
  ['512MiB', 512],
  ['512m', 512],
  ['1GiB', 1024],
  ['1.5g', 1536],
  ['2TiB', 2_097_152],
])('%j is a size of %j MiB', (text, mib) => {
  expect(size(text)).toBe(mib)
})

test.each(['', '0', '-5', '1.5', '10KiB', '1GB', '1XiB', '1e3', ' 1', '99999999999999', '0x10'])('%j is not a size', (text) => {
  expect(code(() => size(text))).toBe('BAD_SIZE')
})

test('only a limit can be none', () => {
  expect(sizeOrNone('none')).toBeNull()
  expect(code(() => size('none'))).toBe('BAD_SIZE')
})

test('counts and processors', () => {
  expect([countOrNone('128'), countOrNone('none')]).toEqual([128, null])
  expect([cpusOrNone('0.5'), cpusOrNone('2'), cpusOrNone('none')]).toEqual([0.5, 2, null])
  for (const text of ['0', '-1', '1.5', 'x', '']) expect(code(() => countOrNone(text))).toBe('BAD_SIZE')
  for (const text of ['0', '-1', '.5', '1e3', 'Infinity', '']) expect(code(() => cpusOrNone(text))).toBe('BAD_SIZE')
})

test('every text is a size or refused with BAD_SIZE, never NaN', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.]{0,6}[mgtMGTiB]{0,3}$/)), (text) => {
      if (code(() => size(text)) === 'accepted') expect(Number.isSafeInteger(size(text)) && size(text) > 0).toBe(true)
      else expect(code(() => size(text))).toBe('BAD_SIZE')
    }),
  )
})

test('environment: pairs, values with =, the own value of a bare name', () => {
  expect(environment(['A=1', 'B=x=y', 'C=', 'TOKEN'], { TOKEN: 't', OTHER: 'o' })).toEqual({ A: '1', B: 'x=y', C: '', TOKEN: 't' })
  for (const pair of ['=1', '1A=2', 'A B=3', 'UNSET', '']) expect(code(() => environment([pair], {}))).toBe('BAD_REQUEST')
})

test('networks', () => {
  expect([network('none'), network('open'), network('allow:example.org,*.example.com')]).toEqual([
    'none',
    'open',
    'allow:example.org,*.example.com',
  ])
  const rules = JSON.stringify({ mode: 'open', deny: ['a.example'] })
  const path = join(mkdtempSync(join(tmpdir(), 'network-')), 'rules.json')
  writeFileSync(path, rules)
  expect(JSON.stringify(network(path))).toBe(rules)
  writeFileSync(path, '["a.example"]')
  expect(code(() => network(path))).toBe('BAD_REQUEST')
  writeFileSync(path, '{"mode": ')
  expect(code(() => network(path))).toBe('BAD_REQUEST')
  rmSync(dirname(path), { recursive: true })
  expect([code(() => network(path)), code(() => network(tmpdir()))]).toEqual(['FILE_MISSING', 'FILE_KIND'])
  for (const text of ['', 'all', 'allow:', 'allow:a,,b', 'allow:a b']) expect(code(() => network(text))).toBe('BAD_REQUEST')
})

test('languages: extension, then first line', () => {
  expect(namedLanguage('js')).toBe('javascript')
  expect(code(() => namedLanguage('cobol'))).toBe('LANGUAGE_UNKNOWN')
  expect(languageOfFile('a/b.mts', '#!/usr/bin/python3')).toBe('typescript')
  expect(languageOfFile('tool', '#!/bin/sh\nexit 3')).toBe('bash')
  expect(code(() => languageOfFile('python', 'print(1)'))).toBe('LANGUAGE_UNKNOWN')
})

test('mounts: read-only unless it says rw, at the real path', () => {
  const here = process.cwd()
  expect(mount('.')).toEqual({ source: here, target: here, mode: 'ro' })
  expect(mount('.:ro')).toEqual({ source: here, target: here, mode: 'ro' })
  expect(mount('.:rw')).toEqual({ source: here, target: here, mode: 'rw' })
  for (const text of ['/nowhere', './package.json', '/nowhere:rw', ':rw', '']) expect(code(() => mount(text))).toBe('MOUNT_UNREADABLE')
})

test('what is run: before -- it is a file, after it a command or arguments', () => {
  const of = (argv: string[], given?: string) => {
    const { own, rest } = splitAtDashes(argv)
    return source(own, rest, given)
  }
  expect(of(['a.py', 'x', '--', '--flag'])).toEqual({ kind: 'file', path: 'a.py', args: ['x', '--flag'] })
  expect(of(['--', 'npm', 'test', '--', '-x'])).toEqual({ kind: 'command', command: ['npm', 'test', '--', '-x'] })
  expect(of(['-'])).toEqual({ kind: 'stdin' })
  expect(of([], 'print(1)')).toEqual({ kind: 'code', code: 'print(1)' })
  expect(code(() => of([]))).toBe('BAD_REQUEST')
  expect(code(() => of(['--']))).toBe('BAD_REQUEST')
  expect(code(() => of(['a.py'], 'print(1)'))).toBe('BAD_REQUEST')
  expect(code(() => of(['-', 'x']))).toBe('BAD_REQUEST')
  expect(code(() => of(['--', 'ls'], 'print(1)'))).toBe('BAD_REQUEST')
})
