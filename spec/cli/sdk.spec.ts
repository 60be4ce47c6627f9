import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CommandLine, ROOT } from './invoke.ts'

test('the loop of an agent runs as it stands, and its program ends by itself', async () => {
  await using line = await CommandLine.open()
  const ended = await line.invoke(process.execPath, [join(ROOT, 'examples/agent-loop.mjs')])
  expect(ended.stderr).toBe('')
  expect(ended.stdout.split('\n')).toEqual([
    `turn 1: {"error":"NameError: name 'prices' is not defined"}`,
    'turn 2: {"stdout":"3 prices\\n","text":"32.15"}',
    'turn 3: {"stdout":"","text":"32"}',
    expect.stringMatching(/^shell: {"stdout":"The prices are in EUR\.\\n","exitCode":[12]}$/),
    '',
  ])
  expect(ended.exitCode).toBe(0)
  expect(await line.leftovers()).toEqual([])
})
