import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Held } from '../../wire/index.ts'
import { SpecHost } from '../walls/home.ts'

// What Java has besides what every language promises (languages.spec.ts), and what is said of a language that cannot be had.

const signal = new AbortController().signal
let host: SpecHost
let held: Held
let contextId: string
beforeAll(async () => {
  host = await SpecHost.open()
  held = await host.door.create({ profile: 'default', template: 'base', timeoutMs: null, env: { OF_ALL: 'wide' } }, signal)
  contextId = (await held.createContext({ language: 'java' }, signal)).id
})
afterAll(() => host[Symbol.asyncDispose]())

const run = (code: string, program?: { path: string; args: string[] }) =>
  held.runCode({ code, contextId, ...(program === undefined ? {} : { program }) }, () => undefined, signal)

test.each([
  ['20 + 22', '42'],
  ['"a \'string\'"', "a 'string'"],
  ['List.of(1, 2)', '[1, 2]'],
  ['int[] many = {1, 2}; many', 'int[2] { 1, 2 }'],
  ['record Point(int x, int y) {}\nnew Point(1, 2)', 'Point[x=1, y=2]'],
  ['import java.time.*;\nDuration.ofSeconds(3)', 'PT3S'],
])('the value of the last expression is the result: %j', async (code, text) => {
  expect((await run(code)).results).toEqual([{ text, isMainResult: true }])
})

test('its own program was compiled when it was built; classes of the user are found where the context is', async () => {
  expect((await run('System.getProperty("java.class.path")')).results).toMatchObject([{ text: '/caisson/runtimes/java/classes:.' }])
})

test('variables of the sandbox and of a call are properties', async () => {
  const seen = async (name: string, env = {}) =>
    (await held.runCode({ code: `System.getProperty("${name}")`, contextId, env }, () => undefined, signal)).results[0]?.text
  expect([await seen('OF_ALL'), await seen('OF_ALL', { OF_ALL: 'here' }), await seen('OF_ALL')]).toEqual(['wide', 'here', 'wide'])
})

test.each(['int declared = 1;', 'void nothing() {}', 'nothing()', 'System.out.print("")', '// only words'])('%j has none', async (code) => {
  expect(await run(code)).toMatchObject({ results: [] })
})

test('what does not compile is shown with its place, and what came before it stays', async () => {
  const { error } = await run('int first = 1;\nint second = "two";\nint third = 3;')
  expect(error).toMatchObject({ name: 'CompilationError', value: expect.stringContaining('incompatible types') })
  expect(error?.traceback).toMatch(/int second = "two";\n {13}\^/)
  expect((await run('first')).results).toMatchObject([{ text: '1' }])
  expect((await run('third')).error).toMatchObject({ name: 'CompilationError' })
})

test('an exception has its own frames and no others', async () => {
  const { error } = await run('int broken(int a) {\n  return a / 0;\n}\nbroken(1)')
  expect(error).toMatchObject({ name: 'ArithmeticException', value: '/ by zero' })
  expect(error?.traceback.split('\n')).toHaveLength(3)
  expect(await run('void early() { late(); }\nearly()')).toMatchObject({
    error: { name: 'UnresolvedReference', value: 'not declared yet: method late()' },
  })
})

test('a program with classes of its own gets its arguments, standard input and exit code', async () => {
  const code = `import java.util.*;
    public class Greeting {
      public static void main(String[] names) throws Exception {
        System.out.println("hello " + String.join(" and ", names) + System.in.read());
        System.exit(names.length);
      }
    }`
  expect(await run(code, { path: 'Greeting.java', args: ['Ada', 'Grace'] })).toMatchObject({
    stdout: 'hello Ada and Grace-1\n',
    exitCode: 2,
  })
})

test('a language that cannot be had is refused by its name, with what to do', async () => {
  for (const word of ['r', 'R', 'Rscript']) {
    await expect(held.createContext({ language: word }, signal)).rejects.toMatchObject({
      code: 'LANGUAGE_UNAVAILABLE',
      message: expect.stringContaining('there is no runtime for R yet'),
      hint: expect.stringContaining('Rscript'),
    })
  }
  await expect(held.createContext({ language: 'python' }, signal)).rejects.toMatchObject({
    code: 'LANGUAGE_UNAVAILABLE',
    message: expect.stringContaining('template base has no python'),
    hint: 'Use template code-interpreter.',
  })
  await expect(held.createContext({ language: 'cobol' }, signal)).rejects.toMatchObject({ code: 'LANGUAGE_UNKNOWN' })
})
