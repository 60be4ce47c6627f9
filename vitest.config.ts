import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** Each file has sandboxes, a state folder and a port of its own, and counts nothing of the machine: two at a time. */
const APART = ['api', 'cli', 'e2b', 'house', 'profiles', 'runtimes', 'scan', 'templates', 'wire']
/** Of these folders, those that flood, fill or measure. */
const ALONE = [
  'airlock/gate-bounds',
  'airlock/inspect-bounds',
  'api/connections',
  'api/control-life',
  'api/hostile-requests',
  'api/operations',
].map(file)
/** Of the other folders, those that do not. */
const APART_TOO = [
  'daemon/installed',
  'daemon/life',
  'daemon/pool',
  'daemon/replays',
  'daemon/writable-root',
  'walls/choice',
  'walls/everyday',
  'walls/machine-life',
  'walls/promises',
  'walls/restored',
].map(file)
/** What must not get through. */
const GUARDS = ['airlock', 'dlp', 'escape']
const OTHERS = readdirSync(join(import.meta.dirname, 'spec')).filter((folder) => ![...APART, ...GUARDS].includes(folder))

function all(folder: string): string {
  return `spec/${folder}/**/*.spec.ts`
}

function file(name: string): string {
  return `spec/${name}.spec.ts`
}

const patient = { pool: 'forks' as const, testTimeout: 120_000, hookTimeout: 120_000 }
// A machine that does others' work too can keep a client waiting for longer than it waits. What passes at the second try is marked as such.
const again = { retry: 1 }

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'rooms',
          include: ['wire/**/*.spec.ts', 'policy/**/*.spec.ts', 'host/**/*.spec.ts', 'client/**/*.spec.ts', 'bench/**/*.spec.ts'],
          exclude: ['**/node_modules/**'],
          testTimeout: 30_000,
          ...again,
          sequence: { groupOrder: 0 },
        },
      },
      // What gets through once has got through: no second try.
      {
        test: {
          name: 'guards',
          include: GUARDS.map(all),
          exclude: ['**/node_modules/**', ...ALONE],
          ...patient,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'apart',
          include: [...APART.map(all), ...APART_TOO],
          exclude: ['**/node_modules/**', ...ALONE],
          ...patient,
          ...again,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      // What these measure or count must be their own: one file at a time.
      {
        test: {
          name: 'promises',
          include: [...ALONE, ...OTHERS.map(all)],
          exclude: ['**/node_modules/**', ...APART_TOO],
          ...patient,
          ...again,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
})
