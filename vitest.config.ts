import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // Where the rooms' own specs run quickly, those of spec/ start real sandboxes: one file at a time, so that what one measures or counts is its own.
    projects: [
      {
        test: {
          name: 'rooms',
          include: ['wire/**/*.spec.ts', 'policy/**/*.spec.ts', 'host/**/*.spec.ts', 'client/**/*.spec.ts', 'bench/**/*.spec.ts'],
          exclude: ['**/node_modules/**'],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'promises',
          include: ['spec/**/*.spec.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
