import { setImmediate as immediate } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import * as shelf from '../../host/runtimes/shelf.ts'
import type { RunEvent } from '../../wire/index.ts'
import { Bare } from './bare.ts'

// What every language promises. A new one on the shelf needs its words here, and nothing else.

interface Words {
  hello: string
  /** Ends a program with 3. */
  exit3: string
  set: string
  print: string
  /** Fails with the words "went wrong". */
  fail: string
  spin: string
  wait: string
  /** Prints MARK or "none". */
  env: string
  /** Prints one, then to stderr two, then three. */
  order: string
  flood: (bytes: number) => string
  readStdin: string
  cwd: string
}

const js: Words = {
  hello: 'console.log("héllo 漢 😀")',
  exit3: 'process.exit(3)',
  set: 'let kept = 41',
  print: 'console.log(kept + 1)',
  fail: 'throw new Error("went wrong")',
  spin: 'while (true) {}',
  wait: 'await new Promise((resolve) => setTimeout(resolve, 60_000))',
  env: 'console.log(process.env.MARK ?? "none")',
  order: 'console.log("one"); console.error("two"); console.log("three")',
  flood: (bytes) => `process.stdout.write("x".repeat(${bytes}))`,
  readStdin: 'console.log(require("fs").readFileSync(0, "utf8").length)',
  cwd: 'process.chdir("/"); console.log(process.cwd())',
}
const WORDS: Record<keyof typeof shelf, Words> = {
  python: {
    hello: 'print("héllo 漢 😀")',
    exit3: 'import sys; sys.exit(3)',
    set: 'kept = 41',
    print: 'print(kept + 1)',
    fail: 'raise ValueError("went wrong")',
    spin: 'while True: pass',
    wait: 'import time; time.sleep(60)',
    env: 'import os; print(os.environ.get("MARK", "none"))',
    order: 'import sys\nprint("one"); print("two", file=sys.stderr); print("three")',
    flood: (bytes) => `print("x" * ${bytes}, end="")`,
    readStdin: 'import sys; print(len(sys.stdin.read()))',
    cwd: 'import os; os.chdir("/"); print(os.getcwd())',
  },
  javascript: js,
  typescript: { ...js, set: 'let kept: number = 41' },
  bash: {
    hello: 'echo "héllo 漢 😀"',
    exit3: 'exit 3',
    set: 'kept=41',
    print: 'echo $((kept + 1))',
    fail: 'echo "went wrong" >&2; false',
    spin: 'while :; do :; done',
    wait: 'sleep 60',
    env: 'echo "${MARK-none}"',
    order: 'echo one; echo two >&2; echo three',
    flood: (bytes) => `head -c ${bytes} /dev/zero | tr "\\0" x`,
    readStdin: 'wc -c',
    cwd: 'cd /; pwd',
  },
}

describe.each(Object.values(shelf))('$name', (runtime) => {
  const words = WORDS[runtime.name as keyof typeof shelf]
  const live: Bare[] = []
  const start = async (env: Record<string, string> = {}) => {
    const bare = await Bare.start(runtime, env)
    live.push(bare)
    return bare
  }
  afterEach(async () => {
    for (const bare of live.splice(0)) await bare[Symbol.asyncDispose]()
  })

  test('says hello, and counts its runs', async () => {
    const bare = await start()
    expect(await bare.run(words.hello)).toMatchObject({ stdout: 'héllo 漢 😀\n', stderr: '', executionCount: 1 })
    expect(await bare.run(words.hello)).toMatchObject({ executionCount: 2 })
  })

  test('keeps its state, and runs come in the order in which they were asked for', async () => {
    const bare = await start()
    const runs = [bare.run(words.set), bare.run(words.print), bare.run(words.print)]
    expect((await Promise.all(runs)).map(({ stdout }) => stdout)).toEqual(['', '42\n', '42\n'])
  })

  test("a program's exit code is its own", async () => {
    const bare = await start()
    const ended = await bare.run(words.exit3, { program: { path: `${bare.folder}/program`, args: [] } })
    expect(ended).toMatchObject({ exitCode: 3, stderr: '' })
    expect(ended.error).toBeUndefined()
  })

  test('what goes wrong is told, and the next run works', async () => {
    const bare = await start()
    const failed = await bare.run(words.fail)
    if (runtime.name === 'bash') expect(failed).toMatchObject({ exitCode: 1, stderr: 'went wrong\n' })
    else {
      expect(failed.error).toMatchObject({ name: expect.stringMatching(/^(Value)?Error$/), value: 'went wrong' })
      expect(failed.error?.traceback).toContain('went wrong')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are what must not be there.
      expect(failed.error?.traceback).not.toMatch(/caisson|main\.cjs|node:|IPython|\u001b/)
    }
    expect(await bare.run(words.hello)).toMatchObject({ stdout: 'héllo 漢 😀\n' })
  })

  test.each(['spin', 'wait'] as const)('an interrupt ends what would %s, and the state stays', async (what) => {
    const bare = await start()
    await bare.run(words.set)
    const endless = bare.run(words[what], {}, () => undefined)
    // Asked for, it is not under way yet: an interrupt would mean nothing.
    await immediate()
    await bare.context.interrupt(new AbortController().signal)
    const ended = await endless
    if (runtime.name === 'bash') expect(ended.exitCode).toBe(130)
    else expect(ended.error?.name).toBe('KeyboardInterrupt')
    expect(await bare.run(words.print)).toMatchObject({ stdout: '42\n' })
  })

  test('a time limit interrupts, and says so', async () => {
    const bare = await start()
    await bare.run(words.set)
    expect(await bare.run(words.wait, { timeoutMs: 300 })).toMatchObject({ limit: 'timeout' })
    expect(await bare.run(words.print)).toMatchObject({ stdout: '42\n' })
  })

  test('an abort interrupts, and the run rejects as cancelled', async () => {
    const bare = await start()
    await bare.run(words.set)
    const abort = new AbortController()
    const running = bare.context.run({ code: words.wait }, () => undefined, abort.signal)
    const waiting = bare.context.run({ code: words.hello }, () => undefined, abort.signal)
    setTimeout(() => abort.abort(), 300)
    await expect(running).rejects.toMatchObject({ code: 'CANCELLED' })
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(await bare.run(words.print)).toMatchObject({ stdout: '42\n', executionCount: 3 })
  })

  test('what is printed keeps its order', async () => {
    const bare = await start()
    const events: RunEvent[] = []
    const { stdout, stderr } = await bare.run(words.order, {}, (event) => events.push(event))
    expect({ stdout, stderr }).toEqual({ stdout: 'one\nthree\n', stderr: 'two\n' })
    expect(events.every((event) => event.type === 'stdout' || event.type === 'stderr')).toBe(true)
  })

  test('much output arrives whole', async () => {
    const bare = await start()
    const { stdout } = await bare.run(words.flood(3_000_000))
    expect(stdout.length).toBe(3_000_000)
    expect(/^x*$/.test(stdout)).toBe(true)
  })

  test('variables of one run are undone', async () => {
    const bare = await start({ MARK: 'own' })
    expect(await bare.run(words.env, { env: { MARK: 'of this run', OTHER: '1' } })).toMatchObject({ stdout: 'of this run\n' })
    expect(await bare.run(words.env)).toMatchObject({ stdout: 'own\n' })
  })

  test('standard input is closed', async () => {
    const bare = await start()
    expect(await bare.run(words.readStdin)).toMatchObject({ stdout: '0\n' })
  })

  test('the folder stays', async () => {
    const bare = await start()
    expect(await bare.run(words.cwd)).toMatchObject({ stdout: '/\n' })
    const pwd = { python: 'print(os.getcwd())', bash: 'pwd' }[runtime.name] ?? 'console.log(process.cwd())'
    expect(await bare.run(pwd)).toMatchObject({ stdout: '/\n' })
  })

  test('a killed runtime is told from code that failed', async () => {
    const bare = await start()
    const running = bare.run(words.wait)
    setTimeout(() => void bare.process.signal(9, new AbortController().signal), 300)
    expect(await running).toMatchObject({ exitCode: 137, error: { name: 'RuntimeDied' } })
    await expect(bare.run(words.hello)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})
