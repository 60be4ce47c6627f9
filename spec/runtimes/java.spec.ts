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
  await expect(held.createContext({ language: 'python' }, signal)).rejects.toMatchObject({
    code: 'LANGUAGE_UNAVAILABLE',
    message: expect.stringContaining('template base has no python'),
    hint: 'Use template code-interpreter.',
  })
  await expect(held.createContext({ language: 'cobol' }, signal)).rejects.toMatchObject({ code: 'LANGUAGE_UNKNOWN' })
})

/** Puts what generators keep back to where it was, as a fork of a machine's memory does, and draws again. */
const REWOUND = `
import java.util.concurrent.atomic.AtomicLong;
var theUnsafe = sun.misc.Unsafe.class.getDeclaredField("theUnsafe"); theUnsafe.setAccessible(true);
var memory = (sun.misc.Unsafe) theUnsafe.get(null);
Object held(String type, String name) throws Exception {
  var field = Class.forName(type).getDeclaredField(name);
  return memory.getObject(memory.staticFieldBase(field), memory.staticFieldOffset(field));
}
AtomicLong stateOf(String type, String name) throws Exception {
  return (AtomicLong) memory.getObject(held(type, name), memory.objectFieldOffset(Random.class.getDeclaredField("seed")));
}
List<String> draw() {
  var shuffled = new ArrayList<>(IntStream.range(0, 40).boxed().toList()); Collections.shuffle(shuffled);
  var local = new ArrayList<Long>(); var drawing = new Thread(() -> local.add(ThreadLocalRandom.current().nextLong()));
  try { drawing.start(); drawing.join(); } catch (InterruptedException never) { }
  return List.of("" + Math.random(), "" + StrictMath.random(), "" + new SplittableRandom().nextLong(), "" + shuffled, "" + local);
}
draw();
var states = List.of(stateOf("java.lang.Math$RandomNumberGeneratorHolder", "randomNumberGenerator"), stateOf("java.lang.StrictMath$RandomNumberGeneratorHolder", "randomNumberGenerator"),
  stateOf("java.util.Collections", "r"), (AtomicLong) held("java.util.SplittableRandom", "defaultGen"), (AtomicLong) held("java.util.concurrent.ThreadLocalRandom", "seeder"));
var before = states.stream().map(AtomicLong::get).toList();
void rewind() { for (int at = 0; at < before.size(); at++) states.get(at).set(before.get(at)); }
List<String> drawAgain() { rewind(); return draw(); }
var one = drawAgain(); var again = drawAgain();
Object kept(Object of, String name) throws Exception { return memory.getObject(of, memory.objectFieldOffset(of.getClass().getDeclaredField(name))); }
Object task() throws Exception {
  var listener = Thread.getAllStackTraces().keySet().stream().filter(thread -> thread.getName().equals("requests")).findFirst().orElseThrow();
  try { return kept(listener, "target"); } catch (NoSuchFieldException later) { return kept(kept(listener, "holder"), "task"); }
}
var renew = Class.forName("Chance", true, task().getClass().getClassLoader()).getDeclaredMethod("renew", String.class); renew.setAccessible(true);
List<String> drawRenewed() throws Exception { rewind(); renew.invoke(null, "07".repeat(32)); return draw(); }
var renewed = drawRenewed();
// Whatever else runs in the process may start a thread meanwhile, and take the next of theirs.
one.subList(0, 4).equals(again.subList(0, 4)) + " " + IntStream.range(0, one.size()).filter(at -> one.get(at).equals(renewed.get(at))).boxed().toList()`

test('generators whose state is another’s, as in a fork of a machine, draw the same; told of chance of their own, none of them does', async () => {
  expect(await run(REWOUND)).toMatchObject({ results: [{ text: 'true []' }] })
})
