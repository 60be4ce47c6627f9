import { expect, test } from 'vitest'
import type { DoctorReport } from '../embedded.ts'
import { page, sound } from './doctor.ts'

const GOOD: DoctorReport = {
  home: '/h',
  walls: [
    {
      name: 'container',
      findings: [{ what: 'root', severity: 'fine', detail: 'yes' }],
      trial: { ok: true, createMs: 9, commandMs: 1 },
      checks: [{ check: 'time limit', state: 'proven', evidence: 'it ended: timeout' }],
    },
  ],
  templates: [{ name: 'base', languages: ['bash'] }],
  snapshots: { count: 0, bytes: 0, freeBytes: 0 },
  allowPrivate: [],
}

test('all that is needed is there', () => {
  expect(sound(GOOD)).toBe(true)
  expect(page(GOOD)).not.toContain('✗')
  expect(page(GOOD)).toContain('✓ base  bash')
  expect(page(GOOD)).toContain('✓ time limit  proven just now: it ended: timeout')
})

test('what the operator has opened is shown', () => {
  expect(page(GOOD)).not.toContain('CAISSON_ALLOW_PRIVATE')
  expect(page({ ...GOOD, snapshots: { count: 2, bytes: 3 * 1024 * 1024, freeBytes: 1 } })).toContain(
    'snapshots 2: 3 MiB of the disk, where 1 MiB are left',
  )
  expect(page({ ...GOOD, allowPrivate: ['10.1.2.0/24', '127.0.0.1:80'] })).toContain('(CAISSON_ALLOW_PRIVATE) 10.1.2.0/24, 127.0.0.1:80')
})

test('what is missing comes with its command', () => {
  const findings = [{ what: 'cgroup memory', severity: 'missing' as const, detail: 'not\nthere', mend: 'mount it' }]
  const trial = { ok: false as const, code: 'LIMIT_UNAVAILABLE', message: 'no memory limit', hint: 'Mend it.' }
  const report: DoctorReport = { ...GOOD, walls: [{ name: 'container', findings, trial, checks: [] }] }
  expect(sound(report)).toBe(false)
  expect(page(report)).toMatch(/✗ cgroup memory {2}not there\n +fix: mount it\n {2}✗ a trial/)
})

test('a template that is not built is not sound', () => {
  const report: DoctorReport = { ...GOOD, templates: [{ name: 'base', languages: [], problem: 'TEMPLATE_NOT_BUILT: base' }] }
  expect(sound(report)).toBe(false)
  expect(page(report)).toContain('✗ base  TEMPLATE_NOT_BUILT: base')
})
