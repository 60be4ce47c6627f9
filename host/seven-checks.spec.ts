import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { afterAll, expect, test } from 'vitest'
import type { Death, Door, Held, Process, StartRequest } from '../wire/index.ts'
import { CHECKS, sevenChecks } from './seven-checks.ts'

const signal = new AbortController().signal
const MAX_MS = 2000
const made: string[] = []
afterAll(() => Promise.all(made.map((path) => rm(path, { force: true }))))

/** A door to no wall at all: what is started is started like this. */
function unwalled(start: (script: string) => ReturnType<typeof spawn>): Pick<Door, 'create'> {
  const death = { reason: 'kill' } as Death
  return {
    create: async () => {
      const started = async ({ args = [] }: StartRequest) => {
        const child = start(args[1] ?? '')
        const end = setTimeout(() => child.kill('SIGKILL'), MAX_MS)
        const exit = once(child, 'close').then(([code]) => {
          clearTimeout(end)
          return { exitCode: Number(code ?? 137) }
        })
        const output = (async function* () {
          for await (const bytes of child.stdout ?? []) yield { bytes }
        })()
        return { output, exit } as unknown as Process
      }
      return { id: 'e0', ended: new Promise<Death>(() => undefined), kill: async () => death, start: started } as unknown as Held
    },
  }
}

async function states(door: Pick<Door, 'create'>): Promise<string[]> {
  const checks = await sevenChecks({ door, request: {}, recorded: async () => [] }, signal)
  expect(checks.map(({ check }) => check)).toEqual(CHECKS)
  return checks.filter(({ state }) => state !== 'unavailable').map(({ check, evidence }) => `${check}: ${evidence}`)
}

test('where there is no wall, none of them is said to be proven', async () => {
  const onHost = unwalled((script) => {
    made.push(...(/\/usr\/bin\/canary[0-9a-f]+/.exec(script) ?? []))
    // What is to be refused before it runs need not run to show that it was not.
    return spawn('/bin/bash', ['-c', script.startsWith('bash -i') ? 'true' : script], { stdio: ['ignore', 'pipe', 'ignore'] })
  })
  expect(await states(onHost)).toEqual([])
  expect(made).toHaveLength(1)
})

test('where what tries them does not run, none of them is either', async () => {
  expect(await states(unwalled(() => spawn('/bin/false', { stdio: ['ignore', 'pipe', 'ignore'] })))).toEqual([])
})
