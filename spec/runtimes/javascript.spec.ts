import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { SpecHost } from '../walls/home.ts'

// What JavaScript and TypeScript give beyond what every language does.

let host: SpecHost
let sandbox: Sandbox
beforeAll(async () => {
  host = await SpecHost.open()
  sandbox = await Sandbox.create({ template: 'base', timeoutMs: null, door: host.door })
})
afterAll(async () => {
  await sandbox.kill()
  await host[Symbol.asyncDispose]()
})

describe.each(['javascript', 'typescript'])('%s', (language) => {
  const run = (code: string) => sandbox.runCode(code, { language })

  test.each([
    ['the value of the last expression', '[1, { a: 2 }]', '[ 1, { a: 2 } ]'],
    ['an object alone', '{ a: 1 }', '{ a: 1 }'],
    ['a promise that is awaited', 'await Promise.resolve(42)', '42'],
    ['a promise that the cell ends with', 'Promise.resolve(42)', '42'],
    ['whatever can be waited for', '({ then: (keep) => keep(42) })', '42'],
    ['nothing for a declaration', 'const unused = 1', undefined],
    ['a function that stays', 'function twice(x) { return 2 * x }', undefined],
    ['and is there in the next cell', 'twice(21)', '42'],
    ['a constant of an earlier cell, declared again', 'const unused = 2; unused', '2'],
    ['a class', 'class Point { x = 3 }; new Point().x', '3'],
  ])('%s', async (_what, code, text) => {
    const result = await run(code)
    expect([result.error, result.text]).toEqual([undefined, text])
  })

  test('what is said and what goes wrong until a promise is settled belongs to the cell that ends with it', async () => {
    const later = 'const pause = () => new Promise((resolve) => setTimeout(resolve, 50))'
    const said = await run(`${later}\nasync function main() { await pause(); console.log("said"); return 5 }\nmain()`)
    expect(said).toMatchObject({ stdout: 'said\n', text: '5' })
    const failed = await run('(async () => { await pause(); throw new TypeError("late") })()')
    expect(failed).toMatchObject({ error: { name: 'TypeError', value: 'late' }, results: [], stderr: '' })
  })

  test('imports of modules, static and dynamic, and of files', async () => {
    await sandbox.files.write('/home/user/own.mjs', 'export const own = "mine"; export default 1')
    const { text, error } = await run(
      'import { readFileSync } from "node:fs"\nimport path, { sep } from "node:path"\nimport one, { own } from "./own.mjs"\nconst os = await import("node:os");\n[typeof readFileSync, path.sep === sep, one, own, typeof os.cpus, typeof require("fs").statSync]',
    )
    expect(error).toBeUndefined()
    expect(text).toBe("[ 'function', true, 1, 'mine', 'function', 'function' ]")
    expect((await run('own')).text).toBe("'mine'")
  })

  test('what goes wrong names the place in the cell', async () => {
    const { error } = await run('const f = () => {\n  throw new TypeError("no")\n}\nf()')
    expect(error).toMatchObject({
      name: 'TypeError',
      value: 'no',
      traceback: expect.stringMatching(/^TypeError: no\n {4}at f \(cell \d+:2:9\)/),
    })
    expect((await run('let 1')).error?.name).toBe('SyntaxError')
    expect((await run('Promise.reject(new Error("late")); await new Promise((resolve) => setTimeout(resolve, 100))')).error?.value).toBe(
      'late',
    )
  })
})

test('what code shows of an error ends with its own frames', async () => {
  const run = (code: string) => sandbox.runCode(code, { language: 'javascript' })
  const last = 'cell \\d+:1:\\d+\\n?$'
  const seen = 'function fails() { return new Error("seen") }; '
  for (const shown of ['console.log(fails().stack)', 'console.log(fails())', '[1].map(() => console.log(fails()))'])
    expect((await run(seen + shown)).stdout).toMatch(new RegExp(`^Error: seen\\n {4}at fails [\\s\\S]*${last}`))
  expect((await run(`${seen}fails()`)).text).toMatch(new RegExp(`^Error: seen\\n {4}at fails .*\\n {4}at ${last}`))
  const later = 'async function main() { await null; throw new TypeError("late") }\nawait main().catch((e) => console.error(e))'
  expect((await run(later)).stderr).toMatch(/^TypeError: late\n {4}at main \(cell \d+:1:\d+\)\n {4}at async cell \d+:2:\d+\n$/)
  // Node's errors are told as Node tells them, and its own frames among the user's are left.
  expect((await run('try { Buffer.alloc("x") } catch (e) { console.log(e.stack) }')).stdout).toMatch(
    /^TypeError \[ERR_INVALID_ARG_TYPE\]: The "size" argument .*\n {4}at Function.alloc \(node:buffer:[\s\S]*at cell \d+:1:\d+\n$/,
  )
  // Who asks for the frames has them.
  const frames = 'const before = Error.prepareStackTrace; Error.prepareStackTrace = (_, all) => all; const all = new Error().stack; '
  expect((await run(`${frames}Error.prepareStackTrace = before; all.length > 2 && typeof all[0].getLineNumber()`)).text).toBe("'number'")
  const { error } = await run('require("fs").readFileSync("/nope")')
  expect(error?.traceback).toMatch(/^Error: ENOENT: .*\n {4}at cell /)
})

test('an error of several shows each of them', async () => {
  const { error } = await sandbox.runCode('await Promise.any(["one", "other"].map((which) => Promise.reject(new TypeError(which))))', {
    language: 'javascript',
  })
  expect(error).toMatchObject({ name: 'AggregateError', traceback: expect.stringMatching(/TypeError: one\n[\s\S]*TypeError: other\n/) })
})

test.each(['javascript', 'typescript'])('%s: what only our parser refuses is told as V8 would', async (language) => {
  const { error } = await sandbox.runCode('const one = 1\nif (one) return 5', { language })
  expect(error).toMatchObject({ name: 'SyntaxError', value: "'return' outside of function" })
  expect(error?.traceback).toMatch(/^cell \d+:2\nif \(one\) return 5\n {9}\^\n\nSyntaxError: 'return' outside of function$/)
})

test.each([
  ['missing', '1:1'],
  ['await missing', '1:7'],
  ['let one = 1\n  // of two\n\n  missing', '4:3'],
  ['import { sep } from "node:path"\n\nmissing + sep', '3:1'],
  ['function two() {}\nclass Three {}\nmissing;', '3:1'],
  ['#!/usr/bin/node\nmissing', '2:1'],
  ['export default missing', '1:16'],
])('columns are those of the cell: %s', async (code, place) => {
  const { error } = await sandbox.runCode(code, { language: 'javascript' })
  expect(error?.traceback).toMatch(new RegExp(`^ReferenceError: missing is not defined\\n {4}at cell \\d+:${place}$`))
})

test.each([
  ['if (true) {\n  f(', '2\n  f(\n    ^', 'Unexpected end of input'],
  ['const list = [1, 2\n', '2\n\n^', 'Unexpected end of input'],
  ['1\n}', '2\n}\n^', "Unexpected token '}'"],
  ['5 /* and so on', '1\n5 /* and so on\n  ^', 'Unterminated comment'],
  ['const word = `and', '1\nconst word = `and\n              ^', 'Unterminated template'],
  ['const a b', '1\nconst a b\n      ^', 'Missing initializer in const declaration'],
])('a cell that ends too early, or goes on after its end, is told as it is: %s', async (code, place, value) => {
  const { error } = await sandbox.runCode(code, { language: 'javascript' })
  expect(error).toMatchObject({ name: 'SyntaxError', value })
  expect(error?.traceback.replace(/^cell \d+:/, '')).toBe(`${place}\n\nSyntaxError: ${value}`)
})

test('code that has its own way of writing JSON, or of hearing what nobody catches, has it for itself', async () => {
  const own = await sandbox.contexts.create({ language: 'javascript' })
  const run = (code: string) => sandbox.runCode(code, { context: own })
  expect(
    await run('const usual = JSON.stringify; JSON.stringify = (value) => usual(value, null, 2); JSON.parse = () => "read"; [1]'),
  ).toMatchObject({
    results: [{ json: [1] }],
  })
  expect(await run('import { sep } from "node:path"\n[JSON.stringify([sep]), JSON.parse("2")]')).toMatchObject({
    results: [{ json: ['[\n  "/"\n]', 'read'] }],
  })
  for (const event of ['unhandledRejection', 'uncaughtException'])
    await run(`process.on("${event}", (error) => console.log("heard", error.message))`)
  const later = 'await new Promise((resolve) => setTimeout(resolve, 20)); "over"'
  const heard = await run(`Promise.reject(new Error("one")); setTimeout(() => { throw new Error("other") }); ${later}`)
  expect(heard).toMatchObject({ stdout: 'heard one\nheard other\n', text: "'over'" })
  expect(heard.error).toBeUndefined()
})

test('a function is told as it was written; one that names itself means the variable, which may be given another', async () => {
  const run = (code: string) => sandbox.runCode(code, { language: 'javascript' })
  expect((await run('function add(a, b) { return a + b }\nadd.toString()')).text).toBe("'function add(a, b) { return a + b }'")
  const counted =
    'let calls = 0\nfunction fib(n) { calls += 1; return n < 2 ? n : fib(n - 1) + fib(n - 2) }\nconst plain = fib, seen = new Map()'
  await run(`${counted}\nfib = (n) => seen.get(n) ?? (seen.set(n, plain(n)), seen.get(n))`)
  expect((await run('[fib(20), calls, plain.name]')).text).toBe("[ 6765, 21, 'fib' ]")
})

test.each(['javascript', 'typescript'])(
  '%s: types are for the reader: they are taken out, with interfaces, generics and satisfies',
  async (language) => {
    const code = [
      'interface Named { name: string }',
      'type Pair<T> = [T, T]',
      'const first = <T,>(pair: Pair<T>): T => pair[0]',
      'const named = { name: "x" } satisfies Named as Named',
      'first<string>([named.name!, "y"])',
    ].join('\n')
    const { error, text } = await sandbox.runCode(code, { language })
    expect([error, text]).toEqual([undefined, "'x'"])
  },
)

test('a namespace that holds values is refused by name; one of types alone is taken out with them', async () => {
  const run = (code: string) => sandbox.runCode(code, { language: 'typescript' })
  const { error } = await run('const before = 1\nnamespace Shapes {\n  export const sides = 4\n}\nShapes.sides')
  expect(error).toMatchObject({ name: 'SyntaxError', value: expect.stringContaining('namespace Shapes (2)') })
  const types = 'namespace Only { export type Side = number }\ndeclare namespace There { const far: number }'
  const text = 'const side: Only.Side = `\nnamespace Q { const z = 1 }`.length'
  expect(await run(`${types}\n${text}; side`)).toMatchObject({ text: '28' })
})

test('what is JavaScript without taking anything out is JavaScript; what is neither has the error of JavaScript', async () => {
  const run = (code: string) => sandbox.runCode(code, { language: 'javascript' })
  expect((await run('const one = 1; one<2>(3)')).text).toBe('false')
  expect((await run('const none: number')).error).toMatchObject({ name: 'SyntaxError', value: 'Missing initializer in const declaration' })
})

test('contexts are apart, each with its folder; one that is restarted has forgotten, one that is deleted is gone', async () => {
  const [one, other] = await Promise.all([
    sandbox.contexts.create({ language: 'javascript', cwd: '/tmp' }),
    sandbox.contexts.create({ language: 'javascript' }),
  ])
  await sandbox.runCode('var mark = 1', { context: one })
  expect((await sandbox.runCode('[process.cwd(), typeof mark]', { context: one })).text).toBe("[ '/tmp', 'number' ]")
  expect((await sandbox.runCode('[process.cwd(), typeof mark]', { context: other })).text).toBe("[ '/home/user', 'undefined' ]")
  await sandbox.contexts.restart(one)
  expect((await sandbox.runCode('[process.cwd(), typeof mark]', { context: one })).text).toBe("[ '/tmp', 'undefined' ]")
  await sandbox.contexts.delete(other)
  expect((await sandbox.contexts.list()).map(({ id }) => id)).not.toContain(other.id)
  await expect(sandbox.runCode('1', { context: other })).rejects.toMatchObject({ code: 'NOT_FOUND' })
})
