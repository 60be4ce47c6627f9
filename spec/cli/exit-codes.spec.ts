import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CommandLine } from './invoke.ts'

let line: CommandLine
beforeAll(async () => {
  line = await CommandLine.open()
})
afterAll(async () => {
  await line[Symbol.asyncDispose]()
})

const ours = (stderr: string) => stderr.split('\n').filter((text) => text.startsWith('caisson: '))

test('a piece of code prints its output and ends with 0', async () => {
  expect(await line.caisson(['run', '-c', 'print(6*7)'])).toEqual({ exitCode: 0, stdout: '42\n', stderr: '' })
})

test('the value of the last expression is printed', async () => {
  expect(await line.caisson(['run', '-c', '6*7'])).toEqual({ exitCode: 0, stdout: '42\n', stderr: '' })
})

test.each([
  ['python', 'import sys; sys.exit(3)', 3],
  ['python', 'raise SystemExit', 0],
  ['bash', 'exit 7', 7],
  ['bash', 'false', 1],
  ['javascript', 'process.exit(9)', 9],
  ['typescript', 'const code: number = 4; process.exit(code)', 4],
])("%s: %s: the program's own exit code comes through", async (language, code, exitCode) => {
  expect(await line.caisson(['run', '--lang', language, '-c', code])).toEqual({ exitCode, stdout: '', stderr: '' })
})

test('an exception is 1, with a traceback of the code alone', async () => {
  const { exitCode, stderr } = await line.caisson(['run', '-c', 'def f():\n  raise ValueError("no")\nf()'])
  expect(exitCode).toBe(1)
  expect(stderr).toContain('ValueError: no')
  expect(stderr).not.toMatch(/caisson|IPython|\p{Cc}\[/u)
})

test.each([
  ['javascript', 'const f = () => { throw new TypeError("no") }\nf()', 'TypeError: no'],
  ['typescript', 'const n: number = 1; throw new TypeError("no " + n)', 'TypeError: no 1'],
  ['bash', 'set -e\nno-such-command', 'bash: line 2: no-such-command: command not found\n'],
])('%s: what goes wrong is said once, as the language says it', async (language, code, said) => {
  const { exitCode, stdout, stderr } = await line.caisson(['run', '--lang', language, '-c', code])
  expect(exitCode).toBe(language === 'bash' ? 127 : 1)
  expect(stdout).toBe('')
  expect(stderr.split(said)).toHaveLength(2)
  expect(stderr).not.toMatch(/\(\(?(async )?\(\) =>|main\.cjs|node:|\/dev\/fd|RuntimeDied/)
})

test.each([
  ['javascript', 'setTimeout(() => console.log("late"), 50); 6 * 7', '42\nlate\n'],
  ['typescript', 'const n: Promise<number> = Promise.resolve(42); await n', '42\n'],
])('%s: a piece of code may await, shows its last value, and ends when nothing is left to do', async (language, code, stdout) => {
  expect(await line.caisson(['run', '--lang', language, '-c', code])).toEqual({ exitCode: 0, stdout, stderr: '' })
})

test('what a program does not catch is said once', async () => {
  await writeFile(join(line.work, 'wrong.py'), 'raise ValueError("no")\n')
  const { exitCode, stderr } = await line.caisson(['run', 'wrong.py'])
  expect(exitCode).toBe(1)
  expect(stderr).toBe(
    'Traceback (most recent call last):\n  File "/home/user/wrong.py", line 1, in <module>\n    raise ValueError("no")\nValueError: no\n',
  )
})

test('a program that kills itself is 137, and no limit is blamed', async () => {
  const { exitCode, stderr } = await line.caisson(['run', '-c', 'import os; os.kill(os.getpid(), 9)'])
  expect(exitCode).toBe(137)
  expect(ours(stderr)).toEqual([expect.stringMatching(/^caisson: KILLED: /)])
})

test('a command: its exit code, its output, its input', async () => {
  expect(await line.caisson(['run', '--', 'sh', '-c', 'cat; echo err >&2; exit 5'], { stdin: 'in\n' })).toEqual({
    exitCode: 5,
    stdout: 'in\n',
    stderr: 'err\n',
  })
})

test('a command that is not there is one line', async () => {
  const { exitCode, stderr } = await line.caisson(['run', '--', 'no-such-command'])
  expect(exitCode).toBe(125)
  expect(stderr).toMatch(/^caisson: FILE_MISSING: there is no command no-such-command inside\. [^\n]*\n$/)
})

const DAEMON =
  'import os, signal, time\nif os.fork() == 0:\n  os.setsid()\n  signal.signal(15, signal.SIG_IGN)\n  if os.fork() == 0: time.sleep(1000)\n  os._exit(0)\n'

test.each([
  ['timeout', 124, ['--timeout', '1s'], 'while True: pass'],
  ['memory', 137, ['--memory', '128'], 'a = []\nwhile True: a.append(bytearray(1 << 20))'],
  ['process', 137, ['--pids', '40'], 'import time\nwhile True:\n  if os.fork() == 0: time.sleep(1000)'],
  ['disk', 137, ['--disk', '16'], 'f = open("/home/user/big", "wb")\nwhile True: f.write(bytes(1 << 20)); f.flush()'],
  ['output', 137, [], 'for _ in range(1024): print("x" * (1 << 20))'],
] as const)('%s: the code, one line, and nothing left', async (what, exitCode, options, code) => {
  const ended = await line.caisson(['run', ...options, '-c', DAEMON + code])
  expect(ended.exitCode).toBe(exitCode)
  const said = `the ${what === 'timeout' ? 'time' : what} limit`
  expect(ours(ended.stderr)).toEqual([expect.stringContaining(said)])
  expect(ours(ended.stderr)[0]).toMatch(/^caisson: LIMIT_HIT: .* --/)
  expect(await line.leftovers()).toEqual([])
})

test('a fork bomb in the shell ends with the process limit', async () => {
  const { exitCode, stderr } = await line.caisson(['run', '--lang', 'bash', '-c', ':(){ :|:& };:; wait; sleep 60'])
  expect(exitCode).toBe(137)
  expect(ours(stderr)).toEqual([expect.stringMatching(/^caisson: LIMIT_HIT: the process limit/)])
  expect(await line.leftovers()).toEqual([])
})

test('a command that hits a limit ends likewise', async () => {
  const { exitCode, stderr } = await line.caisson(['run', '--timeout', '1s', '--', 'sleep', '100'])
  expect(exitCode).toBe(124)
  expect(ours(stderr)).toEqual([expect.stringMatching(/^caisson: LIMIT_HIT: the time limit/)])
  expect(await line.leftovers()).toEqual([])
})
