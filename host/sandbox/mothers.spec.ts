import { Fault, type Plan } from '@caisson/wire'
import { expect, test } from 'vitest'
import type { AuditLog } from '../audit/log.ts'
import type { Template } from '../templates/template.ts'
import { Mothers } from './mothers.ts'

const restored = {
  id: 'i1',
  template: 'base',
  files: [],
  limits: {},
  audit: {},
  machine: {},
  engine: { platform: 'tcg', program: '/qemu', warm: { op: 'restore', folder: '/warm/1', pid: 1 } },
} as unknown as Plan

test.each([
  ['where the machine is short of memory', 'only 100 MiB of memory are left on this machine', 0],
  ['where it is not', undefined, 1],
] as const)('one to be forked from is made or not, and it is said why: %s', async (_where, lacks, launches) => {
  const recorded: object[] = []
  const noticed: string[] = []
  let launched = 0
  const mothers = new Mothers({
    settings: { home: '/home', uid: 0, twinsLibrary: '/twins.so', zygoteIdleMs: 0 },
    auditLog: { append: (entry: object) => recorded.push(entry) } as unknown as AuditLog,
    walls: {
      launch: async () => {
        launched += 1
        throw new Fault('LAUNCH_FAILED', 'a wall that is none')
      },
    },
    admission: {
      refuse: () => {
        if (lacks !== undefined) throw new Fault('OVERLOADED', lacks)
      },
    },
    notice: (line) => noticed.push(line),
    lasts: true,
  })
  mothers.want(restored, { name: 'base' } as Template)
  await expect.poll(() => recorded).toMatchObject([{ kind: 'mother', outcome: 'failed', detail: lacks ?? 'a wall that is none' }])
  expect([launched, noticed.length]).toEqual([launches, 1])
  expect(mothers.forked(restored)).toEqual(restored)
  await mothers[Symbol.asyncDispose]()
})
