import type { ChildProcess } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CommandLine, ROOT } from './invoke.ts'

let line: CommandLine
beforeAll(async () => {
  line = await CommandLine.open()
})
afterAll(async () => {
  await line[Symbol.asyncDispose]()
})

/** Sends each signal once, when the output first holds its words. */
function when(signals: Record<string, NodeJS.Signals>): (text: string, child: ChildProcess) => void {
  const left = new Map(Object.entries(signals))
  return (text, child) => {
    for (const [word, name] of left) {
      if (!text.includes(word)) continue
      left.delete(word)
      child.kill(name)
    }
  }
}

test('Ctrl-C interrupts the code, which may catch it', async () => {
  const code = 'import time\ntry:\n  print("ready", flush=True); time.sleep(100)\nexcept KeyboardInterrupt: print("caught")'
  const ended = await line.caisson(['run', '-c', code], { onOutput: when({ 'ready\n': 'SIGINT' }) })
  expect(ended).toEqual({ exitCode: 0, stdout: 'ready\ncaught\n', stderr: '' })
})

test('not caught, it is 130', async () => {
  const ended = await line.caisson(['run', '-c', 'import time; print("ready", flush=True); time.sleep(100)'], {
    onOutput: when({ 'ready\n': 'SIGINT' }),
  })
  expect(ended.exitCode).toBe(130)
  expect(ended.stderr).toContain('KeyboardInterrupt')
  expect(await line.leftovers()).toEqual([])
})

test('the second Ctrl-C ends the sandbox, whatever the code says', async () => {
  const code =
    'import time\nsay = "ready"\nwhile True:\n  try: print(say, flush=True); time.sleep(100)\n  except KeyboardInterrupt: say = "caught"'
  const ended = await line.caisson(['run', '-c', code], { onOutput: when({ 'ready\n': 'SIGINT', 'caught\n': 'SIGINT' }) })
  // The end interrupts the code too, which may say so once more before it is over.
  expect(ended).toEqual({ exitCode: 130, stdout: expect.stringMatching(/^ready\ncaught\n(caught\n)?$/), stderr: '' })
  expect(await line.leftovers()).toEqual([])
})

test.each([
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)('%s ends the sandbox', async (name, exitCode) => {
  const ended = await line.caisson(['run', '--', 'sh', '-c', 'trap "" TERM HUP; echo ready; sleep 100'], {
    onOutput: when({ ready: name }),
  })
  expect(ended).toEqual({ exitCode, stdout: 'ready\n', stderr: '' })
  expect(await line.leftovers()).toEqual([])
})

test('kill -9 of the command line leaves nothing either', async () => {
  await line.caisson(['run', '-c', 'import time; print("ready", flush=True); time.sleep(100)'], { onOutput: when({ ready: 'SIGKILL' }) })
  await expect.poll(() => line.leftovers(), { timeout: 20_000 }).toEqual([])
})

test('on a terminal the command has a terminal of the same size', async () => {
  const command = `stty rows 33 cols 101; ${ROOT}/caisson run -- sh -c 'test -t 0 && test -t 1 && stty size'`
  const ended = await line.invoke('script', ['-qec', command, '/dev/null'], { held: true })
  expect(ended.stdout.replaceAll('\r', '')).toBe('33 101\n')
  expect(ended.exitCode).toBe(0)
})
