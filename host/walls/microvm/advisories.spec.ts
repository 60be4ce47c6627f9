import { expect, test } from 'vitest'
import { advisoriesFor } from './advisories.ts'

const ids = (version: string) => advisoriesFor(version).map(({ id }) => id)
const LATER = ['CVE-2024-8612', 'CVE-2026-48914', 'CVE-2026-50626']

test('a version is judged within its own series', () => {
  expect(ids('7.2.22')).toEqual(LATER)
  expect(ids('7.2.10')).toEqual(['CVE-2024-3446', 'CVE-2024-6505', ...LATER])
  expect(ids('9.0.2')).toEqual(['CVE-2024-6505', ...LATER])
  expect(ids('9.2.4')).toEqual(['CVE-2026-48914', 'CVE-2026-50626'])
  expect(ids('11.1.0')).toEqual([])
})

test('a series that nobody mends has what the older ones had', () => {
  expect(ids('8.0.5')).toEqual(['CVE-2023-6693', 'CVE-2024-3446', 'CVE-2024-6505', ...LATER])
})

test('one that says none is taken for the oldest', () => {
  expect(ids('unknown')).toEqual(ids('7.0.0'))
})
