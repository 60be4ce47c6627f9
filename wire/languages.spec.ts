import { expect, test } from 'vitest'
import { LANGUAGES, languageOf, languageOfShebang } from './languages.ts'

test.each([
  ['python', 'python'],
  ['PY', 'python'],
  ['.ipy', 'python'],
  ['.mjs', 'javascript'],
  ['node', 'javascript'],
  ['.cts', 'typescript'],
  ['sh', 'bash'],
  ['R', 'r'],
  ['.R', 'r'],
  ['cobol', undefined],
  ['', undefined],
])('the word %j means %j', (word, language) => {
  expect(languageOf(word)).toBe(language)
})

test.each([
  ['#!/usr/bin/env python3', 'python'],
  ['#!/usr/bin/python3.11 -u', 'python'],
  ['#!/usr/bin/env -S node --enable-source-maps', 'javascript'],
  ['#!/usr/bin/env A=1 bash', 'bash'],
  ['#! /bin/sh -e', 'bash'],
  ['#!/usr/bin/env Rscript', 'r'],
  ['#!/usr/bin/perl', undefined],
  ['#!', undefined],
  ['print(1)', undefined],
])('the first line %j names %j', (line, language) => {
  expect(languageOfShebang(line)).toBe(language)
})

test('no word means two languages', () => {
  const words = Object.values(LANGUAGES).flat()
  expect(new Set(words).size).toBe(words.length)
})
