import { day } from './found.ts'

/** When this table was last checked against the published advisories. Later versions are judged by what was known then. */
export const READ_ON = '2026-11-26'

interface Advisory {
  readonly id: string
  readonly what: string
  /** Versions made before this day count as affected: the day of the fixed release, else that of the publication. */
  readonly before: number
}

const ADVISORIES: readonly Advisory[] = [
  { id: 'CVE-2018-16359', before: 20180823, what: 'files of the host could be renamed from inside' },
  { id: 'CVE-2018-19333', before: 20181114, what: 'inside, an ordinary user could become root' },
  { id: 'CVE-2023-7258', before: 20240515, what: 'root inside can end the whole sandbox by mounting' },
  { id: 'CVE-2024-10026', before: 20250130, what: 'its own network stack tells a far peer more than it should (weak hashes)' },
  { id: 'CVE-2024-10603', before: 20250130, what: 'its own network stack picks ports that can be guessed' },
  { id: 'CVE-2025-2713', before: 20250319, what: 'runsc opened files with more rights than its caller had, until it first forked' },
]

/** The advisories that affect this version; all of them if its date is unknown. */
export function advisoriesFor(version: string): readonly Advisory[] {
  return ADVISORIES.filter(({ before }) => day(version) < before)
}
