import assert from 'node:assert/strict'
import { Sandbox } from '@e2b/code-interpreter'
import { finish, step } from './steps.mjs'

const sandbox = await Sandbox.create({ envs: { GLOBAL: 'supertest' }, timeoutMs: 180_000 })

/** Without the white space that the program text has here. */
const run = (code, options) => sandbox.runCode(code, options)

await step('the value of the last line, and nothing where there is none', async () => {
  assert.equal((await run('x = 1; x')).text, '1')
  assert.equal((await run("'a'")).text, 'a')
  const nothing = await run('y = 2')
  assert.equal(nothing.text, undefined)
  assert.deepEqual(nothing.results, [])
})

await step('what was set stays', async () => {
  await run('import math\nkept = 41')
  assert.equal((await run('kept + 1')).text, '42')
  assert.equal((await run('math.floor(2.7)')).text, '2')
})

await step('executions are counted', async () => {
  const { executionCount } = await run('!pwd')
  assert.equal((await run('!pwd')).executionCount, executionCount + 1)
})

await step('magics and shell lines', async () => {
  assert.deepEqual((await run('!pwd')).logs.stdout, ['/home/user\n'])
  assert.match((await run('%timeit -n 1 -r 1 1')).logs.stdout.join(''), /per loop/)
})

await step('indented code, await at the top, long output', async () => {
  assert.equal((await run('    a = 3\n    a')).text, '3')
  assert.equal((await run('import asyncio\nawait asyncio.sleep(0.01)\n"slept"')).text, 'slept')
  const { logs } = await run('print("x" * 300_000)')
  assert.equal(logs.stdout.join('').length, 300_001)
})

await step('output is streamed: one call, one line', async () => {
  const out = []
  const err = []
  await run('print(1)', { onStdout: (message) => out.push(message) })
  await run('import sys; print(2, file=sys.stderr)', { onStderr: (message) => err.push(message) })
  assert.deepEqual(
    out.map((message) => [message.line, message.error]),
    [['1\n', false]],
  )
  assert.deepEqual(
    err.map((message) => [message.line, message.error]),
    [['2\n', true]],
  )
  assert.ok(out[0].timestamp > 1e15)
})

await step('output comes while the code runs', async () => {
  let first = 0
  await run('import time\nprint("now", flush=True)\ntime.sleep(0.7)', { onStdout: () => (first ||= Date.now()) })
  assert.ok(Date.now() - first > 400)
})

await step('text of any alphabet is whole, however it is cut', async () => {
  assert.equal((await run('print("żółć-猫-🦀" * 5000, end="")')).logs.stdout.join(''), 'żółć-猫-🦀'.repeat(5000))
  assert.equal((await run('"🦀" * 3')).text, '🦀🦀🦀')
})

await step('an error: name, value, traceback; by callback too; the context lives on', async () => {
  const errors = []
  const { error, results } = await run('survivor = 1\nundefined_name', { onError: (one) => errors.push(one) })
  assert.equal(error.name, 'NameError')
  assert.equal(error.value, "name 'undefined_name' is not defined")
  assert.match(error.traceback, /undefined_name/)
  assert.ok(!error.traceback.includes('\u001b'))
  assert.deepEqual(results, [])
  assert.equal(errors.length, 1)
  assert.equal((await run('survivor')).text, '1')
  assert.equal((await run('def broken(:')).error.name, 'SyntaxError')
  assert.equal((await run('raise SystemExit(3)')).error?.name ?? 'SystemExit', 'SystemExit')
  assert.equal((await run('survivor')).text, '1')
})

await step('rich results: tables, HTML, Markdown, LaTeX, JSON, SVG, several in one go', async () => {
  const table = (await run('import pandas as pd\npd.DataFrame({"a": [1, 2], "t": pd.to_datetime(["2024-01-02", "2024-01-03"])})'))
    .results[0]
  assert.deepEqual(table.data.a, [1, 2])
  assert.match(table.data.t[0], /^2024-01-02T00:00:00/)
  assert.match(table.html, /<table/)
  assert.ok(table.text.includes('a'))
  const many = await run(`from IPython.display import HTML, Markdown, Latex, JSON, SVG, Javascript, display
display(HTML('<b>bold</b>')); display(Markdown('# title')); display(Latex('$x^2$')); display(JSON({'k': [1]}))
display(SVG('<svg xmlns="http://www.w3.org/2000/svg"></svg>')); display(Javascript('alert(1)'))
'main'`)
  const kinds = many.results.map((result) => result.formats().filter((format) => format !== 'text'))
  assert.deepEqual(kinds, [['html'], ['markdown'], ['latex'], ['json'], ['svg'], ['javascript'], []])
  assert.equal(many.results[0].html, '<b>bold</b>')
  assert.deepEqual(many.results[3].json, { k: [1] })
  assert.deepEqual(
    many.results.map((result) => result.isMainResult),
    [false, false, false, false, false, false, true],
  )
  assert.equal(many.text, 'main')
  assert.deepEqual((await run('{"a": [1, {"b": None}]}')).results[0].json, { a: [1, { b: null }] })
})

await step('a figure and a value are two results; each comes by callback', async () => {
  const seen = []
  await run('import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.show()\n[1, 2]', { onResult: (result) => seen.push(result) })
  assert.deepEqual(
    seen.map((result) => [Boolean(result.png), Boolean(result.chart), result.isMainResult]),
    [
      [true, true, false],
      [false, false, true],
    ],
  )
  assert.equal(Buffer.from(seen[0].png, 'base64').subarray(1, 4).toString(), 'PNG')
})

await step('pictures: as the value, shown, and saved', async () => {
  const picture =
    "import numpy\nfrom PIL import Image\nimage = Image.fromarray((numpy.random.rand(16, 16, 3) * 255).astype('uint8')).convert('RGBA')\n"
  for (const last of ['image', 'image.show()\nprint("done")', 'image.save("test.png")']) {
    const { results } = await run(picture + last)
    assert.equal(Buffer.from(results[0].png, 'base64').subarray(1, 4).toString(), 'PNG', last)
  }
  assert.ok(await sandbox.files.exists('test.png'))
})

await step('environment: of the sandbox, of one call, and back again, in every language', async () => {
  const ask = {
    python: 'import os; os.getenv("NAME", "default")',
    javascript: 'process.env.NAME ?? "default"',
    bash: 'echo -n $' + '{NAME:-default}',
  }
  const answer = (execution) => execution.text ?? execution.logs.stdout.join('')
  for (const [language, code] of Object.entries(ask)) {
    const global = code.replaceAll('NAME', 'GLOBAL')
    assert.equal(answer(await run(global, { language })), 'supertest', language)
    assert.equal(answer(await run(global, { language, envs: { GLOBAL: 'overwrite' } })), 'overwrite', language)
    assert.equal(answer(await run(global, { language })), 'supertest', language)
    const own = code.replaceAll('NAME', 'OWN')
    assert.equal(answer(await run(own, { language, envs: { OWN: 'bar' } })), 'bar', language)
    assert.equal(answer(await run(own, { language })), 'default', language)
  }
})

await step('JavaScript: output, values, await, imports, state, directory', async () => {
  const js = (code) => run(code, { language: 'js' })
  assert.deepEqual((await js('console.log("Hello World!")')).logs.stdout, ['Hello World!\n'])
  assert.equal((await js('const add = (x, y) => x + y\nadd(1, 2)')).text, '3')
  assert.equal((await js('async function main() { return "Hello, World!" }\nawait main()')).text, 'Hello, World!')
  assert.equal((await js('main()')).text, 'Hello, World!')
  assert.equal((await js('const typed: number = 7; typed')).text, '7')
  assert.equal((await js('import { basename } from "node:path"\nbasename("/a/b")')).text, 'b')
  await js('const z = 1')
  assert.equal((await js('z')).text, '1')
  assert.equal((await js('process.cwd()')).text, '/home/user')
  const { error } = await js('throw new TypeError("no")')
  assert.deepEqual([error.name, error.value], ['TypeError', 'no'])
})

await step('TypeScript and Bash', async () => {
  const ts = await run('function subtract(x: number, y: number): number { return x - y }\nsubtract(1, 2)', { language: 'typescript' })
  assert.equal(ts.text, '-1')
  const bash = await run('echo Hello; echo oops >&2', { language: 'bash' })
  assert.deepEqual([bash.logs.stdout.join(''), bash.logs.stderr.join('')], ['Hello\n', 'oops\n'])
})

await step('a language that is not there says so', async () => {
  await assert.rejects(run('1', { language: 'cobol' }), /500/)
})

await step('files and commands see what the code has done', async () => {
  await run('open("made.txt", "w").write("by code")')
  assert.equal(await sandbox.files.read('made.txt'), 'by code')
  assert.equal((await sandbox.commands.run('cat made.txt')).stdout, 'by code')
})

await step('another connection goes on where this one is', async () => {
  const again = await Sandbox.connect(sandbox.sandboxId)
  assert.equal((await again.runCode('kept')).text, '41')
})

await step('many executions at once, one after the other in their context', async () => {
  const texts = await Promise.all(Array.from({ length: 10 }, (_, index) => run(`${index} * 2`)))
  assert.deepEqual(
    texts.map((one) => one.text),
    texts.map((_, index) => String(index * 2)),
  )
})

await sandbox.kill()
finish()
