import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { SpecHost } from '../walls/home.ts'

// What is told of an exception that nobody caught, in Python.

let host: SpecHost
let sandbox: Sandbox
beforeAll(async () => {
  host = await SpecHost.open()
  sandbox = await Sandbox.create({ timeoutMs: null, door: host.door })
})
afterAll(async () => {
  await sandbox.kill()
  await host[Symbol.asyncDispose]()
})

test.each([
  ['syntax', 'x = = 1', 'SyntaxError'],
  ['its own frames', 'def f():\n    return {}["key"]\nf()', 'KeyError'],
  ['a chain', 'try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError("on") from error', 'ValueError'],
  ['a library', 'import json\njson.loads("{")', 'JSONDecodeError'],
])('a traceback shows %s, without colours and without frames of Caisson or IPython', async (_what, code, name) => {
  const { error } = await sandbox.runCode(code)
  expect(error?.name).toBe(name)
  expect(error?.traceback).toContain(name)
  expect(error?.traceback).not.toMatch(/caisson|IPython|\p{Cc}\[/u)
})

test('a recursion without an end is told with a few looks at what is loaded, not with one at all of it for each of its frames', async () => {
  const other = await sandbox.contexts.create({ language: 'python' })
  const run = (code: string) => sandbox.runCode(code, { context: other })
  const counted =
    'import inspect\nlooks, asked = 0, inspect.ismodule\ndef counting(thing):\n    global looks\n    looks += 1\n    return asked(thing)'
  await run(`${counted}\ninspect.ismodule = counting`)
  const { error } = await run('def again(): return again()\nagain()')
  expect(error).toMatchObject({
    name: 'RecursionError',
    traceback: expect.stringMatching(/skipping similar frames: again at line 1 \(9\d\d times\)/),
  })
  // A dozen for each frame, and all modules a few times. It was two millions and more.
  expect(Number((await run('looks')).text)).toBeLessThan(100_000)
  await sandbox.contexts.delete(other)
})

test('what a program carries out as the text of an exception is whole', async () => {
  const { error } = await sandbox.runCode('raise Exception("QUJD" * 1_000_000)')
  expect(error?.value === 'QUJD'.repeat(1_000_000)).toBe(true)
  expect(error?.traceback.length).toBeLessThan(300_000)
  const { error: long } = await sandbox.runCode('raise Exception("\\0" * 4_000_000)')
  expect(long?.value).toContain('characters left out')
})
