import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { SpecHost } from '../walls/home.ts'

// What a cell of Python says of itself when it fails: as IPython says it.

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

const failed = async (code: string) => (await sandbox.runCode(code)).error

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

test.each([
  ['return', '    return\n    ^\n'],
  ['def f():\n  break', '    break\n    ^\n'],
  ['f(a=1, a=2)', '    f(a=1, a=2)\n           ^\n'],
  ['from __future__ import braces', '    from __future__ import braces\n    ^\n'],
])('what does not compile shows where it stands, whoever noticed: %s', async (code, where) => {
  expect((await failed(code))?.traceback).toMatch(/^ {2}Cell In\[\d+\], line \d\n/)
  expect((await failed(code))?.traceback).toContain(where)
})

test('text that a cell reads, and that does not compile, is shown too, and the way to it', async () => {
  await sandbox.files.write('/home/user/broken.py', 'x = 1\nx = = 2\n')
  const imported = await failed('def load(): import broken\nload()')
  expect(imported).toMatchObject({ name: 'SyntaxError', value: 'invalid syntax (line 2)' })
  expect(imported?.traceback).toMatch(/Cell In\[\d+\], line 1 in load\n.*\n\n {2}File \S*\/broken\.py:2\n {4}x = = 2\n {8}\^\n/)
  expect((await failed('eval("1 +")'))?.traceback).toMatch(/Cell In\[\d+\], line 1\n {4}eval\("1 \+"\)\n\n {2}File <string>:1\n {4}1 \+\n/)
})

test('of a group, those that are in it', async () => {
  const code = [
    'import asyncio',
    'async def one(): raise ValueError("of one")',
    'async def other(): raise KeyError("of another")',
    'async with asyncio.TaskGroup() as group:\n  for each in (one, other): group.create_task(each())',
  ].join('\n')
  const error = await failed(code)
  expect(error?.name).toBe('ExceptionGroup')
  expect(error?.traceback).toMatch(/ValueError: of one\n[\s\S]*KeyError: 'of another'/)
  expect(error?.traceback).toMatch(/Cell In\[\d+\], line 2, in one\n/)
  expect(error?.traceback).not.toMatch(/caisson_runtime|IPython/)
})

test('what an exception wants shown of itself', async () => {
  const stop = 'class Stop(Exception):\n  def _render_traceback_(self): return ["no more", "of this"]\nraise Stop("here")'
  expect(await failed(stop)).toEqual({ name: 'Stop', value: 'here', traceback: 'no more\nof this' })
  expect(await failed(stop.replace(/\[.*\]/, 'None'))).toEqual({ name: 'Stop', value: 'here', traceback: '' })
})

test('an exception that cannot be said in words is one like another, and what was there stays', async () => {
  await sandbox.runCode('kept = 1')
  const mute = 'class Mute(Exception):\n  def __str__(self): raise ValueError("no words")\n'
  for (const raised of ['raise Mute', '%time raise Mute'])
    expect(await failed(mute + raised)).toMatchObject({ name: 'Mute', value: '<unprintable Mute>' })
  expect((await sandbox.runCode('kept')).text).toBe('1')
})

test('the last one is at hand: for %tb, %debug and whoever asks; before the first there is none', async () => {
  const own = await sandbox.contexts.create()
  const run = (code: string) => sandbox.runCode(code, { context: own })
  expect((await run('%tb')).stderr).toBe('No traceback available to show.\n')
  const first = await run('1 / 0')
  expect((await run('import sys; sys.last_value')).text).toBe("ZeroDivisionError('division by zero')")
  expect((await run('%tb')).error).toEqual(first.error)
  expect((await run('%debug')).stdout).toContain('----> 1 1 / 0')
})

test('an interrupt shows where it came', async () => {
  const error = await failed('def waits():\n  raise KeyboardInterrupt\nwaits()')
  expect(error?.name).toBe('KeyboardInterrupt')
  expect(error?.traceback).toMatch(
    /^Traceback .*\n {2}Cell In\[\d+\], line 3, in <module>\n.*\n {2}Cell In\[\d+\], line 2, in waits\n.*\nKeyboardInterrupt\n$/,
  )
})

test('who is told before and after each cell is told so once of one that does not compile', async () => {
  const own = await sandbox.contexts.create()
  const run = (code: string) => sandbox.runCode(code, { context: own })
  await run('for event in ("pre_execute", "post_execute"): get_ipython().events.register(event, lambda event=event: print(event))')
  expect((await run('(')).stdout).toBe('pre_execute\npost_execute\n')
  expect((await run('1')).stdout).toBe('pre_execute\npost_execute\n')
})
