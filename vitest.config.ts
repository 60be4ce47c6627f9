import { defineConfig } from 'vitest/config'
import { LongestFirst } from './spec/house/longest-first.ts'
import { SecondTries } from './spec/house/second-tries.ts'

/** What must not get through. */
const GUARDS = ['airlock', 'dlp', 'escape'].map((folder) => `spec/${folder}/**/*.spec.ts`)
/** What floods, fills, measures or takes all of the machine: one file at a time. */
const ALONE = [
  'airlock/gate-bounds',
  'airlock/inspect-bounds',
  'api/connections',
  'api/control-life',
  'api/hostile-requests',
  'api/operations',
  'daemon/restart',
  'endurance/daemon',
].map((name) => `spec/${name}.spec.ts`)

/** A bound against hanging, here as elsewhere: the second that vitest gives is no more than a pause on a busy machine. */
const expect = { poll: { timeout: 20_000 } }
/** Files of a worker share its modules, which are read once: to read them anew takes a processor a second or more for each file. What a file changes for all it puts back. */
const bounds = { testTimeout: 120_000, hookTimeout: 120_000, expect, isolate: false }
const patient = { ...bounds, pool: 'forks' as const }
// A machine that does others' work too can keep a client waiting for longer than it waits. What passes at the second try is told at the end.
const again = { retry: 1 }

export default defineConfig({
  test: {
    reporters: ['default', new SecondTries()],
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'rooms',
          include: ['wire/**/*.spec.ts', 'policy/**/*.spec.ts', 'host/**/*.spec.ts', 'client/**/*.spec.ts', 'bench/**/*.spec.ts'],
          exclude: ['**/node_modules/**'],
          ...bounds,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      // What gets through once has got through: no second try.
      {
        test: {
          name: 'guards',
          include: GUARDS,
          exclude: ['**/node_modules/**', ...ALONE],
          ...patient,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      // Each file has sandboxes, a state folder and a port of its own, and counts nothing of the machine.
      {
        test: {
          name: 'apart',
          include: ['spec/**/*.spec.ts'],
          exclude: ['**/node_modules/**', ...GUARDS, ...ALONE],
          ...patient,
          ...again,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: 'alone',
          include: ALONE,
          exclude: ['**/node_modules/**'],
          ...patient,
          ...again,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
})
