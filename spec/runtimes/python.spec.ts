import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { SpecHost } from '../walls/home.ts'

// What Python gives beyond what every language does: rich results, IPython's magics, figures, frames as data.

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

test.each([
  ['HTML("<b>x</b>")', { html: '<b>x</b>' }],
  ['Markdown("# x")', { markdown: '# x' }],
  ['Latex("$x$")', { latex: '$x$' }],
  ['SVG("<svg xmlns=\'http://www.w3.org/2000/svg\'/>")', { svg: expect.stringMatching(/^<svg /) }],
  ['JSON({"a": [1, None]})', { json: { a: [1, null] } }],
  ['Javascript("1+1")', { javascript: '1+1' }],
  ['Image(b"\\x89PNG\\r\\n\\x1a\\n" + bytes(8), format="png")', { png: expect.stringMatching(/^iVBORw0K/) }],
  ['Image(b"\\xff\\xd8\\xff" + bytes(8), format="jpeg")', { jpeg: expect.stringMatching(/^\/9j\//) }],
])('display(%s) is a result on the way', async (value, form) => {
  const code = `from IPython.display import *\ndisplay(${value})\n1`
  const { results } = await sandbox.runCode(code)
  expect(results).toMatchObject([
    { ...form, isMainResult: false },
    { text: '1', isMainResult: true },
  ])
})

test('a number is text alone, unless somebody has said how numbers are shown', async () => {
  const own = await sandbox.contexts.create()
  const shown = async (code: string) => (await sandbox.runCode(code, { context: own })).results
  const html = 'html = get_ipython().display_formatter.formatters["text/html"]\n'
  expect(await shown('41')).toEqual([{ text: '41', isMainResult: true }])
  expect(await shown('%precision 2\n3.14159')).toMatchObject([{ text: '3.14' }])
  expect(await shown(`${html}html.for_type(int, lambda number: f"<b>{number}</b>")\n41`)).toMatchObject([{ text: '41', html: '<b>41</b>' }])
  expect(await shown('True')).toMatchObject([{ text: 'True', html: '<b>True</b>' }])
  expect(await shown(`html.pop(int)\nhtml.for_type_by_name("builtins", "str", lambda text: "<i/>")\n"x"`)).toMatchObject([{ html: '<i/>' }])
  expect(await shown('value = 1.5\nhtml.singleton_printers[id(value)] = lambda one: "<u/>"\nvalue')).toMatchObject([{ html: '<u/>' }])
  const further = [
    'from IPython.core.formatters import BaseFormatter',
    'from traitlets import Unicode',
    'class Further(BaseFormatter):',
    '    format_type, print_method = Unicode("x/y"), "__str__"',
    'get_ipython().display_formatter.register_formatter(Further())',
    '2.5',
  ]
  expect(await shown(further.join('\n'))).toMatchObject([{ text: '2.50', extra: { 'x/y': '2.5' } }])
})

test('what was said and shown before is at hand by the names that IPython gives it, and a name that is taken stays', async () => {
  const own = await sandbox.contexts.create()
  const shown = async (code: string) => (await sandbox.runCode(code, { context: own })).results.map(({ text }) => text)
  for (const code of ['11', '22;', '33', 'None', '44', 'out = Out']) await shown(code)
  expect(await shown('[_, __, ___, _1, _5, sorted(Out), _i, _i2, In[3], len(In), "_2" in globals()]')).toEqual([
    "[44, 33, 11, 11, 44, [1, 3, 5], 'out = Out', '22;', '33', 8, False]",
  ])
  expect(await shown('Out is out')).toEqual(['True'])
  await shown('_ = "mine"')
  await shown('55')
  expect(await shown('[_, "_9" in globals(), _10]')).toEqual(["['mine', False, 55]"])
  await shown('del _')
  await shown('66')
  expect(await shown('[_, __]')).toEqual(["[66, ['mine', False, 55]]"])
  expect(await shown('import builtins; builtins._ = "everywhere"; del _')).toEqual([])
  await shown('77')
  expect(await shown('_')).toEqual(["'everywhere'"])
  // The tokens say so, not the letters.
  expect(await shown('"a;"')).toEqual(["'a;'"])
  expect(await shown('1 # ;')).toEqual(['1'])
  expect(await shown('1; # so')).toEqual([])
})

test('an object shows itself in each form that it knows', async () => {
  const code = [
    'class Both:',
    '    def __repr__(self): return "both"',
    '    def _repr_html_(self): return "<i>both</i>"',
    '    def _repr_latex_(self): return "$both$"',
    '    def _repr_pdf_(self): return b"%PDF-1.7"',
    'Both()',
  ].join('\n')
  const { results } = await sandbox.runCode(code)
  const pdf = Buffer.from('%PDF-1.7').toString('base64')
  expect(results).toEqual([{ text: 'both', html: '<i>both</i>', latex: '$both$', pdf, isMainResult: true }])
})

test('a frame is text, a table and data', async () => {
  const { results } = await sandbox.runCode('import pandas as pd\npd.DataFrame({"n": [1, None], "s": ["x", "ü"]})')
  expect(results).toMatchObject([{ html: expect.stringContaining('<table'), data: { n: [1, null], s: ['x', 'ü'] }, isMainResult: true }])
})

test('a figure is a picture when the cell is over, shown or not, and once', async () => {
  const draw = 'import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])'
  for (const code of [`${draw}; plt.show()`, `${draw};`, `%matplotlib inline\n${draw};`]) {
    const { results } = await sandbox.runCode(code)
    expect(
      results
        .filter(({ png }) => png !== undefined)
        .map(({ png }) =>
          Buffer.from(png ?? '', 'base64')
            .subarray(1, 4)
            .toString(),
        ),
    ).toEqual(['PNG'])
  }
})

test('a cell that is taken for plain Python is what IPython would have made of it', async () => {
  const tricky = [
    '1+1\n|x = 1\n\n|x = 1\nx|ls|exit|cd /tmp|time 1|matplotlib|...|>>> x|In [1]: 1| x = 1|\nx = 1|x = """\n   \n"""|/f 1|,f 1|;f 1|x\n/f|x;\n  ;f|f?',
    'x = %pwd|x = !ls|x = 7 % 3|a != b|é = 1|x\u2028ls|ls = 1|print(1)|print (1)|#||\n|x\r\n%ls|x\f%ls|x\tls|if 1:\n  ls|"""\n>>> x\n"""|quit()|.5|*a, = [1]',
  ].flatMap((cells) => cells.split('|'))
  const cells = [...tricky, ...(await readFile('spec/scan/corpus/benign-python.txt', 'utf8')).split('---\n')]
  await sandbox.files.write('/tmp/cells.json', JSON.stringify(cells))
  const code = [
    'import json; from IPython.core.interactiveshell import InteractiveShell',
    'ip = get_ipython(); cells = json.load(open("/tmp/cells.json")); plain = [cell for cell in cells if ip.is_plain(cell)]',
    'wrong = [cell for cell in plain if ip.transform_cell(cell) != InteractiveShell.transform_cell(ip, cell)]',
    'ip.input_transformers_post.append(list); after = ip.is_plain("1"); ip.input_transformers_post.clear()',
    '[wrong, len(plain) > 100, [ip.is_plain(cell) for cell in ("1+1", "print(1)", "ls", "exit", "f?", " x")], after]',
  ].join('\n')
  const { error, text } = await sandbox.runCode(code)
  expect(error).toBeUndefined()
  expect(text).toBe('[[], True, [True, True, False, False, False, False], False]')
})

test('a plain cell, which is run in fewer calls, comes to what IPython makes of it', async () => {
  const plain = [
    '1+1|x = 1|x = 1\nx|x = 3; y = 2; y|1;|None|"a text"|_|In[-1]|1\n2\n3|# nothing|x: int = 1\n__annotations__|print(1)\nprint(2)',
    '1/0|print(1)\n1/0\nprint(2)|assert 0, "no"|exec("1/0")|raise SystemExit(3)|raise KeyboardInterrupt|class A(Exception): pass\nraise A',
    'import warnings; warnings.warn("so")|import warnings; warnings.warn("so")|1 is 1|"doc"\nx = 1\n__doc__|display(1, 2)|get_ipython().run_cell("5") and 6',
    'import math; math.pi|from math import e, pi; e|a = b = 4; a, b|a.real; a|1; 2|print(1); 2|a == 4; 5|f(x = 1); 3|a, b = 1, 2; a|a = 1; a += 1; a|a =; a',
    'if a: 1|for i in a: i|while 0: 1; 2|with open("/dev/null"): 3|try: 4\nfinally: 5|x = "; y = "; x|x = 1; "a;b"|x = 1; 2 # 3|1;  |x = 1;;2|[a;b]',
    '(lambda: 1)()|{1: 2}|a[0:1]|(y := 4)|*a, b = 1, 2; b|global g; g|a = 1; del a; 1|pass; 1|assert 1; 2|raise ValueError; 1|from __future__ import annotations; 1|1 is 1; 2',
    '1\\\n+1|x = 1; 1/0|import nothing_of_that; 1|a = lambda; 1|import os, sys; os.sep|from os import (sep); sep|from os import *; sep|type X = int; X|print(); 1',
    '(|return 1|print("before")\nreturn|x = 1\nfrom __future__ import annotations|def f():\n  yield 1\n[*f()]|import sys; sys.displayhook = print; 7|8',
  ].flatMap((cells) => cells.split('|'))
  await sandbox.files.write('/tmp/cells.json', JSON.stringify(plain))
  const own = await sandbox.contexts.create()
  const code = [
    'import json, io, re, contextlib, linecache; ip = get_ipython()',
    'def theirs(cell):',
    '    result = ip.run_cell(cell, store_history=True)',
    '    return result.error_before_exec or result.error_in_exec',
    'def come(run, cell):',
    '    shown, said, emit, number = [], io.StringIO(), ip.emit, ip.execution_count',
    '    ip.emit = shown.append',
    '    try:',
    '        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said): error = run(cell)',
    '    finally: ip.emit = emit',
    '    kept = ip.history_manager.exceptions.get(number, {})',
    '    last = ip.last_execution_result',
    '    told = [shown, said.getvalue().split("ipython-input")[0], repr(error), In[-1], number in Out and repr(Out[number]), repr(ip.user_ns.get("_")),',
    '      ip.execution_count - number, ip.last_execution_succeeded, repr(last.result), last.info.raw_cell, last.info.transformed_cell, kept.get("ename"), kept.get("evalue"),',
    '      any(cell in "".join(lines[2]) for name, lines in linecache.cache.items() if "input-%d-" % number in name)]',
    // The number of a cell is in its name.
    '    return re.sub(r"input-[0-9]+", "input", repr(told))',
    'cells = json.load(open("/tmp/cells.json")); different = []; usual = sum(map(ip.cells._is_usual, cells))',
    'for cell in cells:',
    '    one, other = come(theirs, cell), come(ip.cells.run, cell)',
    '    if one != other: different.append((cell, one, other))',
    // What those cells failed of is not what this one failed of.
    'print(different, usual == len(cells)); ip.failed = None',
  ].join('\n')
  const { error, stdout } = await sandbox.runCode(code, { context: own })
  expect(error).toBeUndefined()
  expect(stdout).toBe('[] True\n')
})

test('Python and numpy, whose generators are of one kind, draw different numbers after they were renewed from one seed', async () => {
  const code = [
    'import random, numpy as np',
    'from caisson_runtime import identity',
    'identity.renew("ab" * 32)',
    'random.getstate()[1][:9] == tuple(map(int, np.random.get_state()[1][:9]))',
  ].join('\n')
  expect((await sandbox.runCode(code, { context: await sandbox.contexts.create() })).text).toBe('False')
})

test('a process that code forks draws other numbers, and has its own threads and locks', async () => {
  const code = [
    'import os, random, threading, logging, concurrent.futures, numpy as np',
    'concurrent.futures.ThreadPoolExecutor(1).submit(int).result()',
    'r, w = os.pipe(); pid = os.fork()',
    'if pid == 0:',
    '    logging.getLogger("x").error("said")',
    '    os.write(w, repr((random.random(), threading.active_count(), threading.current_thread() is threading.main_thread())).encode()); os._exit(0)',
    'os.waitpid(pid, 0); there = eval(os.read(r, 999)); (there[0] != random.random(), *there[1:])',
  ].join('\n')
  expect((await sandbox.runCode(code)).text).toBe('(True, 1, True)')
})

test('one that goes on as several draws other numbers from the generator that the code has chosen, too', async () => {
  const other = await sandbox.contexts.create({ language: 'python' })
  const code = [
    'import numpy as np',
    'from caisson_runtime import identity',
    'np.random.set_bit_generator(np.random.PCG64(7))',
    'np.random.standard_normal()',
    'def drawn(seed):',
    '    identity.renew(seed * 32)',
    '    return np.random.rand(), type(np.random.get_bit_generator()).__name__',
    'one, two, again = drawn("00"), drawn("01"), drawn("00")',
    'print(one == again, one[0] == two[0], one[1])',
  ].join('\n')
  expect(await sandbox.runCode(code, { context: other })).toMatchObject({ stdout: 'True False PCG64\n' })
  await sandbox.contexts.delete(other)
})

test('magics, commands of the shell, and top-level await', async () => {
  expect((await sandbox.runCode('!echo from the shell')).stdout).toBe('from the shell\n')
  expect((await sandbox.runCode('%cd -q /tmp\n%pwd')).text).toBe("'/tmp'")
  expect((await sandbox.runCode('%%bash\necho $((6 * 7))')).stdout).toBe('42\n')
  expect((await sandbox.runCode('found = !printf "a\\nb\\n"\nfound')).text).toBe("['a', 'b']")
  expect((await sandbox.runCode('import asyncio\nawait asyncio.sleep(0, "slept")')).text).toBe("'slept'")
})

test('what one cell begins on the loop of asyncio, another can wait for', async () => {
  const other = await sandbox.contexts.create({ language: 'python' })
  const begun = 'import asyncio\nasync def later(word): return word\ntask = asyncio.get_event_loop().create_task(later("begun"))'
  expect((await sandbox.runCode(begun, { context: other })).error).toBeUndefined()
  expect((await sandbox.runCode('await task', { context: other })).text).toBe("'begun'")
  // That one has a loop of its own, and leaves none behind.
  expect((await sandbox.runCode('task = asyncio.ensure_future(later("kept")); asyncio.run(later("own"))', { context: other })).text).toBe(
    "'own'",
  )
  expect((await sandbox.runCode('next = asyncio.ensure_future(later("next"))', { context: other })).error).toBeUndefined()
  expect((await sandbox.runCode('await task + await next', { context: other })).text).toBe("'keptnext'")
  expect((await sandbox.runCode('asyncio.get_event_loop().run_until_complete(later("after"))', { context: other })).text).toBe("'after'")
  await sandbox.contexts.delete(other)
})

test('a cell that awaits nothing can begin a task, which runs while later ones await; one that runs a loop of its own still can', async () => {
  const other = await sandbox.contexts.create({ language: 'python' })
  const run = (code: string) => sandbox.runCode(code, { context: other })
  const begun =
    'import asyncio\nasync def later(word):\n    await asyncio.sleep(0)\n    print(word)\n    return word\ntask = asyncio.create_task(later("begun"))'
  expect((await run(begun)).error).toBeUndefined()
  expect(await run('await asyncio.sleep(0.01)')).toMatchObject({ stdout: 'begun\n' })
  expect((await run('task.result()')).text).toBe("'begun'")
  // A loop that runs is found as well as used.
  expect((await run('from asyncio import get_running_loop as running\nloop = running()')).error?.name).toBeUndefined()
  expect((await run('task = loop.create_task(later("found"))\nawait task')).text).toBe("'found'")
  const own = 'async def main(): return await asyncio.create_task(later("own"))\n'
  for (const how of ['asyncio.run(main())', 'asyncio.new_event_loop().run_until_complete(main())'])
    expect((await run(own + how)).text).toBe("'own'")
  for (const ask of ['asyncio.get_running_loop()', 'asyncio.current_task()']) expect((await run(`${ask} is not None`)).text).toBe('True')
  const { error } = await run('asyncio.create_task(later("never"))\n1 / 0')
  expect(error).toMatchObject({ name: 'ZeroDivisionError', traceback: expect.not.stringMatching(/asyncio\/|IPython|caisson/) })
  await sandbox.contexts.delete(other)
})

test('a cell that reads arguments finds none', async () => {
  expect((await sandbox.runCode('import argparse\nargparse.ArgumentParser().parse_args()')).text).toBe('Namespace()')
})
