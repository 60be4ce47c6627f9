import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasR } from '../runtimes/has-r.ts'
import { type Event, events, InterpreterServer } from './interpreter-server.ts'

// What a client of the code interpreter's /execute sees.

const OURS = { 'caisson-client': '1' }
let server: InterpreterServer
beforeAll(async () => {
  server = await InterpreterServer.open()
})
afterAll(() => server[Symbol.asyncDispose]())

const types = (all: Event[]) => all.map(({ type }) => type)
const count = { type: 'number_of_executions', execution_count: expect.any(Number) }
const end = { type: 'end_of_execution' }

describe('the stream', () => {
  test('what is printed, shown and returned comes in its order, between the count and the end', async () => {
    const said = await server.run(
      'import sys\nfrom IPython.display import display, HTML\nprint(1)\nprint("no", file=sys.stderr)\ndisplay(HTML("<b>hi</b>"))\n6 * 7',
    )
    const printed = said.splice(1, 2)
    // Two pipes: which of them is read first is nobody's promise.
    expect(printed.sort((one, other) => (one.type < other.type ? 1 : -1))).toEqual([
      { type: 'stdout', text: '1\n', timestamp: expect.any(Number) },
      { type: 'stderr', text: 'no\n', timestamp: expect.any(Number) },
    ])
    expect(said).toEqual([
      count,
      { type: 'result', is_main_result: false, text: '<IPython.core.display.HTML object>', html: '<b>hi</b>', extra: {} },
      { type: 'result', is_main_result: true, text: '42', extra: {} },
      end,
    ])
    expect(await server.run('1')).toMatchObject([count, { text: '1' }, end])
  })

  test('an exception is an event, and the status stays 200', async () => {
    const said = await server.run('def f():\n    return undefined_name\nf()')
    expect(said).toMatchObject([count, { type: 'error', name: 'NameError', value: "name 'undefined_name' is not defined" }, end])
    expect(said[1]?.['traceback']).toContain('undefined_name')
  })

  // The record has the first 4,096 characters of it, and what is looked for secrets in the first 16,384.
  test.each([4096, 16_384])('code with a character across the place where its record is cut, at %i', async (at) => {
    const lines = await server.run(`"${'x'.repeat(at - 2)}\u{1f600}${'x'.repeat(99)}"[-1]`)
    expect(lines.at(-2)).toMatchObject({ type: 'result', text: 'x' })
  })

  test('all of it is ASCII, whatever is said', async () => {
    const response = await server.execute({ code: 'print("ä漢😀\\x7f\\u2028"); "é"' })
    const bytes = Buffer.from(await response.arrayBuffer())
    expect(bytes.every((byte) => byte === 10 || (byte >= 32 && byte < 127))).toBe(true)
    const lines = bytes.toString().trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).text)).toEqual([undefined, 'ä漢😀\x7f\u2028\n', 'é', undefined])
  })

  test('the text of a string is the string', async () => {
    const said = await server.run('import os; os.getcwd()')
    expect(said.at(-2)).toMatchObject({ type: 'result', text: '/home/user' })
    expect((await server.run('"it\'s"')).at(-2)).toMatchObject({ text: "it's" })
    expect((await server.run('"x" + 1 * "y", "z"')).at(-2)).toMatchObject({ text: "('xy', 'z')" })
  })

  test('a run that says nothing is kept alive', async () => {
    const said = await server.run('import time; time.sleep(6)')
    expect(types(said)).toEqual(['number_of_executions', 'keepalive', 'end_of_execution'])
  })

  test('nobody is told what is not of the wire but our own clients, and only they may ask for it', async () => {
    const program = { program: { path: '/home/user/main.py', args: ['a'] } }
    // Of the builtins it has Python's `exit`, and not what cells have.
    const code =
      'import builtins, sys\nprint(sys.argv[1:], __name__, *(hasattr(builtins, name) for name in ("exit", "get_ipython")))\nsys.exit(3)'
    const said = await server.run(code, program, OURS)
    expect(said.slice(1)).toMatchObject([{ type: 'stdout', text: "['a'] __main__ True False\n" }, { type: 'exit', exit_code: 3 }, end])
    const refused = await server.execute({ code, ...program })
    expect([refused.status, await refused.text()]).toEqual([400, 'program: no such field'])
    for (const [code, value] of [
      ['exit 3', '3'],
      ['echo on; ls /not/there 2>/dev/null', '2'],
    ] as const) {
      const said = await server.run(code, { language: 'bash' })
      expect(said.at(-2)).toEqual({ type: 'error', name: '', value, traceback: '' })
      expect(types(said).filter((type) => type !== 'stdout')).toEqual(['number_of_executions', 'error', 'end_of_execution'])
    }
    expect(types(await server.run('false; true', { language: 'bash' }))).toEqual(['number_of_executions', 'end_of_execution'])
    expect(types(await server.run('exit 3', { language: 'bash' }, OURS))).toEqual(['number_of_executions', 'exit', 'end_of_execution'])
    expect((await server.run('"a"', {}, OURS)).at(-2)).toMatchObject({ text: "'a'" })
  })

  test('our own clients are told of the limit that ended a run', async () => {
    const said = await server.run('import time; time.sleep(60)', { timeout_ms: 300 }, OURS)
    expect(said.slice(1)).toMatchObject([
      { type: 'error', name: 'KeyboardInterrupt', value: '(its time was over)' },
      { type: 'limit', reason: 'timeout' },
      end,
    ])
  })

  test('everybody is told of it where the failure is', async () => {
    await using own = await server.limited({ memoryMiB: 256, diskMiB: 32, outputMiB: 1 })
    const died = await own.run('x = bytearray(1 << 30); print(len(x))')
    expect(died.at(-2)).toMatchObject({
      type: 'error',
      name: 'RuntimeDied',
      value: expect.stringMatching(/ \(the memory limit of the sandbox was hit\)$/),
    })
    const full = await own.run('with open("/tmp/full", "wb") as f:\n    while True: f.write(bytes(1 << 20))')
    expect(full.at(-2)).toMatchObject({
      type: 'error',
      name: 'OSError',
      value: expect.stringMatching(/ \(the disk of the sandbox is full\)$/),
    })
    // So much that it is not through before it is stopped.
    const loud = await own.run('print("x" * (48 << 20))')
    const told = loud.find(({ type }) => type === 'error')
    expect(told).toMatchObject({ value: expect.stringMatching(/ \(it printed more than the sandbox may\)$/) })
    expect((await own.run('1')).at(-2)).toMatchObject({ text: '1' })
  })

  test('a client that does not read holds up the code, and loses nothing', async () => {
    const size = 24 * 1024 * 1024
    const response = await server.execute({ code: `print("x" * ${size}, end="")\nopen("/tmp/printed", "w").close()` })
    const isThere = async () =>
      (await server.run('ls /tmp/printed 2>&1', { language: 'bash' })).some(({ text }) => text === '/tmp/printed\n')
    await pause(2000)
    expect(await isThere()).toBe(false)
    const said = await events(response)
    expect(said.filter(({ type }) => type === 'stdout').reduce((sum, { text }) => sum + text.length, 0)).toBe(size)
    expect(await isThere()).toBe(true)
  })
})

describe('languages', () => {
  test.each([
    ['javascript', 'console.log("Hello"); const f = async () => "resolved"; await f()', 'Hello\n', 'resolved'],
    ['js', 'import path from "node:path"; console.log(process.cwd()); path.join("a", "b")', '/home/user\n', 'a/b'],
    ['typescript', 'const minus = (x: number, y: number): number => x - y; console.log("ts"); minus(1, 2)', 'ts\n', '-1'],
    ['ts', 'interface A { b: string }\nconst a: A = { b: "c" }; console.log(a.b); a', 'c\n', "{ b: 'c' }"],
    ['python', '    import os\n    print(os.getcwd())\n    await __import__("asyncio").sleep(0, "awaited")', '/home/user\n', 'awaited'],
    ['bash', 'pwd', '/home/user\n', undefined],
    // E2B's prints the end of the line by itself, and programs look for the line.
    ['java', 'System.out.println("Hello"); 20 + 22', 'Hello', '42'],
  ])('%s', async (language, code, stdout, text) => {
    const said = await server.run(code, { language })
    expect(said.filter(({ type }) => type === 'error')).toEqual([])
    expect(said.find(({ type }) => type === 'stdout')).toMatchObject({ text: stdout })
    expect(said.find(({ type }) => type === 'result')?.['text']).toBe(text)
  })

  test('one that is not there is named, and those that are', async () => {
    for (const language of ['fortran', 'rust']) {
      const response = await server.execute({ code: '1', language })
      expect(response.status).toBe(500)
      expect(await response.text()).toMatch(new RegExp(`^Failed to create context: no language "${language}"; there are: .*python`))
    }
  })

  test.runIf(hasR)('r, whose values come whole', async () => {
    const said = await server.run('print("Hello, World!"); cat("half"); message("told"); getwd()', { language: 'r' })
    const printed = said.filter(({ type }) => type === 'stdout').map(({ text }) => text)
    // What it takes long to say is not waited for.
    expect(printed.join('')).toBe('[1] "Hello, World!"\nhalf')
    expect(said.at(-2)).toMatchObject({ type: 'result', text: '[1] "/home/user"' })
  })

  test.skipIf(hasR)('r, where the machine has none, is named with what to do', async () => {
    const response = await server.execute({ code: '1', language: 'r' })
    const why = /^Failed to create context: template .* has no r. Install R/
    // E2B's client for JavaScript shows the phrase of the status line alone.
    expect([response.status, response.statusText, await response.text()]).toEqual([
      500,
      expect.stringMatching(why),
      expect.stringMatching(why),
    ])
  })
})

describe('variables of the environment', () => {
  let own: InterpreterServer
  beforeAll(async () => {
    own = await server.beside({ envVars: { OF_ALL: 'sandbox', 'BASH_FUNC_f%%': '() { :; }' } })
  })
  afterAll(() => own[Symbol.asyncDispose]())

  test.each([
    ['python', 'import os; print(os.environ.get("MARK", "none"), os.environ.get("OF_ALL", "none"))'],
    ['javascript', 'console.log(process.env.MARK ?? "none", process.env.OF_ALL ?? "none")'],
    ['typescript', 'console.log(process.env.MARK ?? "none", process.env.OF_ALL ?? "none")'],
    ['bash', 'echo $(printenv MARK || echo none) $(printenv OF_ALL || echo none)'],
  ])('%s: those of a call go over those of the sandbox, and are undone after it', async (language, code) => {
    const said = async (env_vars?: Record<string, string>) => (await own.run(code, { language, env_vars })).at(1)?.['text']
    expect(await said()).toBe('none sandbox\n')
    expect(await said({ MARK: 'call', OF_ALL: 'over', 'no-name-to-a-shell': '1' })).toBe('call over\n')
    expect(await said()).toBe('none sandbox\n')
  })
})

describe('bad input', () => {
  test.each([
    [{ code: '1', context_id: 'nowhere' }, 404, 'Context nowhere not found'],
    [{ code: '1', context_id: 'a', language: 'python' }, 400, 'Only one of context_id or language can be provided'],
    [{ code: 1 }, 400, 'code: Invalid input: expected string, received number'],
    [{}, 400, 'code: Invalid input: expected string, received undefined'],
    [{ code: '1', colour: 'red' }, 400, 'colour: no such field'],
    [{ code: '1', env_vars: { 'A=B': '1' } }, 400, /^env_vars\.A=B: not a name of a variable$/],
    [{ code: '1', env_vars: { A: 1 } }, 400, /^env_vars\.A: /],
    [{ code: '"cut in \ud83d"' }, 400, 'code: has half of a character in it'],
    [{ code: '1', env_vars: { A: '\ude00' } }, 400, 'env_vars.A: has half of a character in it'],
    ['{"code": "1"', 400, /^the body is not JSON: /],
    ['', 400, 'code: Invalid input: expected string, received undefined'],
  ])('%j: %i', async (body, status, text) => {
    const response = await server.execute(body)
    expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    const said = await response.text()
    if (typeof text === 'string') expect([response.status, said]).toEqual([status, text])
    else expect([response.status, said]).toEqual([status, expect.stringMatching(text)])
  })

  test('nulls are what is not there', async () => {
    expect((await server.run('1', { context_id: null, language: null, env_vars: null })).at(-2)).toMatchObject({ text: '1' })
  })

  test('code runs with the token of the sandbox only', async () => {
    for (const given of [undefined, 'another', `${server.token} `, '']) {
      const response = await server.call('POST', '/execute', { code: '1' }, given === undefined ? {} : { 'x-access-token': given })
      // A trailing space is no part of a header.
      if (given?.trim() === server.token) expect(response.status).toBe(200)
      else expect([response.status, await response.text()]).toEqual([401, expect.stringMatching(/X-Access-Token/)])
    }
  })
})

describe('the end of a run from outside', () => {
  const aborted = async (code: string, more: Record<string, unknown> = {}) => {
    const abort = new AbortController()
    const response = await server.execute({ code, ...more }, {}, abort.signal)
    const reader = response.body?.getReader()
    for (let said = ''; !said.includes('stdout'); ) said += Buffer.from((await reader?.read())?.value ?? []).toString()
    abort.abort()
    await expect(reader?.read()).rejects.toThrow()
  }

  test('a client that goes interrupts its run; the state stays', async () => {
    await server.run('kept = 41')
    await aborted('import time; print("on"); time.sleep(300)')
    expect((await server.run('kept + 1')).at(-2)).toMatchObject({ text: '42' })
  })

  test('code that takes no interrupt ends with its context; the next run has another, under the same id', async () => {
    const created = (await (await server.call('POST', '/contexts', { language: 'python' })).json()) as { id: string }
    const context = { context_id: created.id }
    await server.run('kept = 41', context)
    await aborted('import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint("on")\nwhile True: time.sleep(1)', context)
    expect((await server.run('"kept" in globals()', context)).at(-2)).toMatchObject({ text: 'False' })
  })

  test('a run that waits for its turn is not carried out once its client has gone', async () => {
    const long = server.run('import time; time.sleep(3)\nran = []')
    await pause(300)
    const abort = new AbortController()
    const waiting = server.execute({ code: 'ran.append(1)' }, {}, abort.signal)
    await pause(300)
    abort.abort()
    await expect(waiting).rejects.toThrow()
    await long
    expect((await server.run('ran')).at(-2)).toMatchObject({ text: '[]' })
  })

  test('a sandbox that ends breaks the answer off', async () => {
    await using own = await server.beside()
    const running = await begun(own)
    await own.control('kill')
    await expect(running?.read()).rejects.toThrow()
    const response = await own.execute({ code: '1' })
    expect([response.status, await response.json()]).toEqual([502, { sandboxId: own.id, message: 'The sandbox was not found', code: 502 }])
  })

  test('so does one that is paused; its context is interrupted, and keeps what it knows', async () => {
    await using own = await server.beside()
    await own.run('kept = 41')
    const running = await begun(own)
    await own.control('pause')
    await expect(running?.read()).rejects.toThrow()
    // Longer than what does not hear an interrupt is given.
    await pause(3000)
    await own.control('connect', { timeout: 300 })
    expect((await own.run('kept + 1')).at(-2)).toMatchObject({ text: '42' })
  })
})

/** A run that does not end by itself, when it has begun to speak. */
async function begun(server: InterpreterServer) {
  const response = await server.execute({ code: 'import time; print("on"); time.sleep(300)' })
  const reader = response.body?.getReader()
  for (let said = ''; !said.includes('stdout'); ) said += Buffer.from((await reader?.read())?.value ?? []).toString()
  return reader
}
