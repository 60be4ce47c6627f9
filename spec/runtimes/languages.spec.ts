import { setImmediate as immediate } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import * as shelf from '../../host/runtimes/shelf.ts'
import type { Execution, Held, RunEvent, RunRequest } from '../../wire/index.ts'
import { SpecHost } from '../walls/home.ts'
import { hasR } from './has-r.ts'

// What every language promises, through the whole of Caisson. A new one on the shelf needs its words here, and nothing else.

const signal = new AbortController().signal

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
  /** Prints HOME, USER, LOGNAME and SHELL, with spaces between them. */
  account: string
  /** Prints one, then to stderr two, then three. */
  order: string
  flood: (bytes: number) => string
  readStdin: string
  cwd: string
  pwd: string
  /** Prints the number of its process. */
  pid: string
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
  account: 'console.log(["HOME", "USER", "LOGNAME", "SHELL"].map((name) => process.env[name]).join(" "))',
  order: 'console.log("one"); console.error("two"); console.log("three")',
  flood: (bytes) => `process.stdout.write("x".repeat(${bytes}))`,
  readStdin: 'console.log(require("fs").readFileSync(0, "utf8").length)',
  cwd: 'process.chdir("/"); console.log(process.cwd())',
  pwd: 'console.log(process.cwd())',
  pid: 'console.log(process.pid)',
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
    account: 'import os; print(*(os.environ[name] for name in ("HOME", "USER", "LOGNAME", "SHELL")))',
    order: 'import sys\nprint("one"); print("two", file=sys.stderr); print("three")',
    flood: (bytes) => `print("x" * ${bytes}, end="")`,
    readStdin: 'import sys; print(len(sys.stdin.read()))',
    cwd: 'import os; os.chdir("/"); print(os.getcwd())',
    pwd: 'import os; print(os.getcwd())',
    pid: 'import os; print(os.getpid())',
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
    env: '[ -v MARK ] && echo $MARK || echo none',
    account: "env | grep -c '^HOME=' > /dev/null && echo $HOME $USER $LOGNAME $SHELL",
    order: 'echo one; echo two >&2; echo three',
    flood: (bytes) => `head -c ${bytes} /dev/zero | tr "\\0" x`,
    readStdin: 'wc -c',
    cwd: 'cd /; pwd',
    pwd: 'pwd',
    pid: 'echo $$',
  },
  java: {
    hello: 'System.out.println("héllo 漢 😀")',
    exit3: 'public class Main { public static void main(String[] args) { System.exit(3); } }',
    set: 'int kept = 41;',
    print: 'System.out.println(kept + 1);',
    fail: 'throw new Error("went wrong");',
    spin: 'while (true) {}',
    wait: 'Thread.sleep(60_000);',
    env: 'System.out.println(System.getProperty("MARK", System.getenv().getOrDefault("MARK", "none")));',
    account:
      'for (var name : List.of("HOME", "USER", "LOGNAME", "SHELL")) System.out.print(System.getenv(name) + (name.equals("SHELL") ? "\\n" : " "));',
    order: 'System.out.println("one"); System.err.println("two"); System.out.println("three");',
    flood: (bytes) => `System.out.print("x".repeat(${bytes}))`,
    readStdin: 'System.out.println(System.in.readAllBytes().length)',
    cwd: 'System.setProperty("user.dir", "/"); System.out.println(System.getProperty("user.dir"))',
    pwd: 'System.out.println(System.getProperty("user.dir"))',
    pid: 'System.out.println(ProcessHandle.current().pid())',
  },
  r: {
    hello: 'cat("héllo 漢 😀\\n")',
    exit3: 'quit(status = 3)',
    set: 'kept <- 41',
    print: 'cat(kept + 1, "\\n", sep = "")',
    fail: 'stop("went wrong")',
    spin: 'while (TRUE) {}',
    wait: 'Sys.sleep(60)',
    env: 'cat(Sys.getenv("MARK", "none"), "\\n", sep = "")',
    account: 'cat(paste(Sys.getenv(c("HOME", "USER", "LOGNAME", "SHELL")), collapse = " "), "\\n", sep = "")',
    order: 'cat("one\\n"); message("two"); cat("three\\n")',
    flood: (bytes) => `cat(strrep("x", ${bytes}))`,
    readStdin: 'cat(length(readLines("stdin")), "\\n", sep = "")',
    cwd: 'setwd("/"); cat(getwd(), "\\n", sep = "")',
    pwd: 'cat(getwd(), "\\n", sep = "")',
    pid: 'cat(Sys.getpid(), "\\n", sep = "")',
  },
}

/** One context of a sandbox, made for one test. */
class Fresh {
  readonly id: string
  readonly #held: Held

  private constructor(held: Held, id: string) {
    this.#held = held
    this.id = id
  }

  static async make(held: Held, language: string): Promise<Fresh> {
    return new Fresh(held, (await held.createContext({ language }, signal)).id)
  }

  run(code: string, more: Partial<RunRequest> = {}, on: (event: RunEvent) => void = () => undefined, until = signal): Promise<Execution> {
    return this.#held.runCode({ code, contextId: this.id, ...more }, on, until)
  }

  interrupt(): Promise<void> {
    return this.#held.interrupt(this.id, signal)
  }

  /** From outside, as the kernel's out-of-memory killer would. */
  async kill(pid: string): Promise<void> {
    const killing = await this.#held.start({ command: 'kill', args: ['-9', pid], user: 'root' }, signal)
    for await (const _ of killing.output);
    expect((await killing.exit).exitCode).toBe(0)
  }
}

let host: SpecHost
beforeAll(async () => {
  host = await SpecHost.open()
})
afterAll(() => host[Symbol.asyncDispose]())

// No machine needs to have R (what is said then is in r.spec.ts).
describe.each(Object.values(shelf).filter(({ name }) => name !== 'r' || hasR))('$name', (runtime) => {
  const words = WORDS[runtime.name as keyof typeof shelf]
  let held: Held
  beforeAll(async () => {
    held = await host.door.create({ timeoutMs: null, env: { MARK: 'own' } }, signal)
  })
  afterAll(() => held.kill(signal))
  const made: Fresh[] = []
  const fresh = async () => {
    const context = await Fresh.make(held, runtime.name)
    made.push(context)
    return context
  }
  // A JVM or two is what the sandbox's memory holds.
  afterEach(() => Promise.all(made.splice(0).map(({ id }) => held.deleteContext(id, signal))))

  test('says hello, and counts its runs', async () => {
    const context = await fresh()
    expect(await context.run(words.hello)).toMatchObject({ stdout: 'héllo 漢 😀\n', stderr: '', executionCount: 1 })
    expect(await context.run(words.hello)).toMatchObject({ executionCount: 2 })
  })

  test('keeps its state, and runs come in the order in which they were asked for', async () => {
    const context = await fresh()
    const runs = [context.run(words.set), context.run(words.print), context.run(words.print)]
    expect((await Promise.all(runs)).map(({ stdout }) => stdout)).toEqual(['', '42\n', '42\n'])
  })

  test("a program's exit code is its own", async () => {
    const context = await fresh()
    const ended = await context.run(words.exit3, { program: { path: '/home/user/program', args: [] } })
    expect(ended).toMatchObject({ exitCode: 3, stderr: '' })
    expect(ended.error).toBeUndefined()
  })

  test('what goes wrong is told, and the next run works', async () => {
    const context = await fresh()
    const failed = await context.run(words.fail)
    if (runtime.name === 'bash') expect(failed).toMatchObject({ exitCode: 1, stderr: 'went wrong\n' })
    else {
      expect(failed.error).toMatchObject({ name: expect.stringMatching(/^(Value)?Error$/), value: 'went wrong' })
      expect(failed.error?.traceback).toContain('went wrong')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are what must not be there.
      expect(failed.error?.traceback).not.toMatch(/caisson|main\.cjs|node:|IPython|\u001b/)
    }
    expect(await context.run(words.hello)).toMatchObject({ stdout: 'héllo 漢 😀\n' })
  })

  test.each(['spin', 'wait'] as const)('an interrupt ends what would %s, and the state stays', async (what) => {
    const context = await fresh()
    await context.run(words.set)
    const endless = context.run(words[what])
    // Asked for, it is not under way yet: an interrupt would mean nothing.
    await immediate()
    await context.interrupt()
    const ended = await endless
    if (runtime.name === 'bash') expect(ended.exitCode).toBe(130)
    else expect(ended.error?.name).toBe('KeyboardInterrupt')
    expect(await context.run(words.print)).toMatchObject({ stdout: '42\n' })
  })

  test('a time limit interrupts, and says so', async () => {
    const context = await fresh()
    await context.run(words.set)
    expect(await context.run(words.wait, { timeoutMs: 300 })).toMatchObject({ limit: 'timeout' })
    expect(await context.run(words.print)).toMatchObject({ stdout: '42\n' })
  })

  test('an abort interrupts, and the run rejects as cancelled', async () => {
    const context = await fresh()
    await context.run(words.set)
    const abort = new AbortController()
    const running = context.run(words.wait, {}, undefined, abort.signal)
    const waiting = context.run(words.hello, {}, undefined, abort.signal)
    setTimeout(() => abort.abort(), 300)
    const cancelled = { status: 'rejected', reason: { code: 'CANCELLED' } }
    expect(await Promise.allSettled([running, waiting])).toMatchObject([cancelled, cancelled])
    expect(await context.run(words.print)).toMatchObject({ stdout: '42\n', executionCount: 3 })
  })

  test('what is printed keeps its order', async () => {
    const context = await fresh()
    const events: RunEvent[] = []
    const { stdout, stderr } = await context.run(words.order, {}, (event) => void events.push(event))
    expect({ stdout, stderr }).toEqual({ stdout: 'one\nthree\n', stderr: 'two\n' })
    expect(events[0]).toEqual({ type: 'started', executionCount: 1 })
    expect(events.slice(1).every((event) => event.type === 'stdout' || event.type === 'stderr')).toBe(true)
  })

  test('much output arrives whole', async () => {
    const context = await fresh()
    const { stdout } = await context.run(words.flood(3_000_000))
    expect(stdout.length).toBe(3_000_000)
    expect(/^x*$/.test(stdout)).toBe(true)
  })

  test('variables of one run are undone', async () => {
    const context = await fresh()
    expect(await context.run(words.env, { env: { MARK: 'of this run', OTHER: '1' } })).toMatchObject({ stdout: 'of this run\n' })
    expect(await context.run(words.env)).toMatchObject({ stdout: 'own\n' })
    expect(await context.run(words.account)).toMatchObject({ stdout: '/home/user user user /bin/bash\n' })
  })

  test('standard input is closed', async () => {
    const context = await fresh()
    expect(await context.run(words.readStdin)).toMatchObject({ stdout: '0\n' })
  })

  test('the folder stays', async () => {
    const context = await fresh()
    expect(await context.run(words.cwd)).toMatchObject({ stdout: '/\n' })
    expect(await context.run(words.pwd)).toMatchObject({ stdout: '/\n' })
  })

  test('a killed runtime is told from code that failed', async () => {
    const context = await fresh()
    const { stdout } = await context.run(words.pid)
    const running = context.run(words.wait)
    await context.kill(stdout.trim())
    expect(await running).toMatchObject({ exitCode: 137, error: { name: 'RuntimeDied' } })
    // The context is there, with nothing of what it knew.
    expect(await context.run(words.hello)).toMatchObject({ stdout: 'héllo 漢 😀\n', executionCount: 1 })
  })
})
