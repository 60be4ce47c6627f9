import { expect, test } from 'vitest'
import { advisoriesFor } from './advisories.ts'
import { day } from './found.ts'

const ids = (version: string) => advisoriesFor(version).map(({ id }) => id)

test('a version is judged by the day it was made on', () => {
  expect(day('0.0~20221219.0')).toBe(20221219)
  expect(day('release-20240729.0')).toBe(20240729)
  expect(ids('0.0~20221219.0')).toEqual(['CVE-2023-7258', 'CVE-2024-10026', 'CVE-2024-10603', 'CVE-2025-2713'])
  expect(ids('release-20240729.0')).toEqual(['CVE-2024-10026', 'CVE-2024-10603', 'CVE-2025-2713'])
  expect(ids('release-20250319.0')).toEqual([])
})

test('one that does not say is taken for the oldest', () => {
  expect(ids('VERSION_MISSING')).toContain('CVE-2018-16359')
})
