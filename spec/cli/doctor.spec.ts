import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DoctorReport } from '../../client/embedded.ts'
import { everyWall } from '../walls/every-wall.ts'
import { CommandLine, ROOT } from './invoke.ts'

let line: CommandLine
beforeAll(async () => {
  line = await CommandLine.open()
})
afterAll(() => line[Symbol.asyncDispose]())

everyWall((wall) => {
  test('doctor starts it, and proves the seven checks behind it', async () => {
    const { exitCode, stdout, stderr } = await line.caisson(['doctor', '--wall', wall, '--json'])
    expect([exitCode, exitCode === 0 ? '' : stderr]).toEqual([0, ''])
    const { walls } = JSON.parse(stdout) as DoctorReport
    expect(walls).toMatchObject([{ name: wall, trial: { ok: true } }])
    const checks = walls[0]?.checks ?? []
    expect(checks.length).toBe(7)
    // As text, which a report of what failed once shows.
    expect(checks.flatMap(({ check, state, evidence }) => (state === 'proven' ? [] : `${check}: ${evidence}`)).join('\n')).toBe('')
    expect((await line.leftovers()).join('\n')).toBe('')
  })
})

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const)('%s: it leaves no canary behind, and ends with %i', async (signal, exitCode) => {
  const canaries = () => readdirSync(line.work).filter((name) => name.startsWith('canary'))
  const child = spawn(join(ROOT, 'caisson'), ['doctor', '--wall', 'container'], {
    env: { ...line.environment, TMPDIR: line.work },
    stdio: 'ignore',
  })
  const ended = once(child, 'exit')
  await expect.poll(canaries, { timeout: 60_000, interval: 5 }).not.toEqual([])
  child.kill(signal)
  expect(await ended).toEqual([exitCode, null])
  expect(canaries()).toEqual([])
  expect(await line.leftovers()).toEqual([])
})
