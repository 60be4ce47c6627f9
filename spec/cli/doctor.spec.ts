import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DoctorReport } from '../../client/embedded.ts'
import { everyWall } from '../walls/every-wall.ts'
import { CommandLine } from './invoke.ts'

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
    expect(checks.filter(({ state }) => state !== 'proven')).toEqual([])
    expect(await line.leftovers()).toEqual([])
  })
})
