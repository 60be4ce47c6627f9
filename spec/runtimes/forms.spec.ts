import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Event, InterpreterServer } from '../api/interpreter-server.ts'

// The forms in which values come, as they lie on the wire.

let server: InterpreterServer
beforeAll(async () => {
  server = await InterpreterServer.open()
})
afterAll(() => server[Symbol.asyncDispose]())

async function results(code: string, language = 'python'): Promise<Event[]> {
  const said = (await server.run(code, { language })).slice(1, -1)
  expect(said.filter(({ type }) => type !== 'result')).toEqual([])
  return said
}
/** The text of the one line that holds a result. */
async function line(code: string): Promise<string> {
  const text = await (await server.execute({ code })).text()
  return text.split('\n').find((one) => one.includes('"result"')) ?? ''
}

describe('lists and dictionaries are JSON too', () => {
  test('with what numpy and dates mean as JSON', async () => {
    const code =
      'import numpy as np, datetime\n[1, None, float("nan"), {"a": np.int64(3), 2: datetime.date(2024, 1, 2)}, np.array([[1.5]]), (True,)]'
    expect(await results(code)).toMatchObject([{ json: [1, null, null, { a: 3, '2': '2024-01-02' }, [[1.5]], [true]] }])
    expect(await results('{"a": [1], "b": "é"}')).toMatchObject([{ text: "{'a': [1], 'b': 'é'}", json: { a: [1], b: 'é' } }])
  })

  test('numbers stay what they were', async () => {
    expect(await line('[1.0, 2**60 + 1, 1e3]')).toContain('"json":[1.0, 1152921504606846977, 1000.0]')
  })

  test.each([
    ['an object', '[object()]'],
    ['itself', 'x = []; x.append(x); x'],
    ['more levels than anybody reads', 'r = []\nfor _ in range(300): r = [r]\nr'],
    ['a number that is too long to be printed', '__import__("sys").set_int_max_str_digits(0); [10 ** 5000, object()]'],
  ])('but not one that holds %s', async (_what, code) => {
    const [result, ...more] = await results(code)
    expect(more).toEqual([])
    expect(Object.keys(result ?? {}).sort()).toEqual(['extra', 'is_main_result', 'text', 'type'])
  })

  test('a list is shown whole', async () => {
    const [result] = await results('list(range(5000))')
    expect(result?.['text']).toMatch(/ 4999\]$/)
    expect(result?.['json']).toHaveLength(5000)
  })
})

describe('data frames', () => {
  test('are columns; times are ISO, what is missing is null', async () => {
    const code =
      'import pandas as pd\npd.DataFrame({"n": [2**60 + 1, 2], "f": [1.0, None], "t": pd.to_datetime(["2024-01-01", "2024-01-02"]), "s": ["x", None]})'
    const [result] = await results(code)
    expect(result).toMatchObject({ html: expect.stringContaining('<table'), text: expect.stringContaining('2024-01-01') })
    expect(result?.['data']).toMatchObject({ f: [1, null], t: ['2024-01-01T00:00:00', '2024-01-02T00:00:00'], s: ['x', null] })
    expect(await line(code)).toContain('"n": [1152921504606846977, 2], "f": [1.0, null]')
  })

  test('are shown with twenty columns, however wide, as in a notebook; a program prints them as Python does', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `the column number ${index}`)
    const frame = `import pandas as pd\nframe = pd.DataFrame([range(20)], columns=${JSON.stringify(names)})\n`
    const [result] = await results(`${frame}frame`)
    for (const form of ['text', 'html']) for (const name of names) expect(result?.[form]).toContain(name)
    const program = { program: { path: '/home/user/main.py', args: [] } }
    const [, printed] = await server.run(`${frame}print(frame)`, program, { 'caisson-client': '1' })
    expect(printed?.['text']).toContain(' ... ')
    expect((await results(`${frame}frame`))[0]).toEqual(result)
  })

  test('one that is too large is told by its text alone, never in part', async () => {
    const [result] = await results('import pandas as pd\npd.DataFrame({"n": range(1_000_001)})')
    expect(result).toMatchObject({ html: expect.any(String), text: expect.any(String) })
    expect(result).not.toHaveProperty('data')
  })
})

describe('pictures', () => {
  const make = 'from PIL import Image\nimage = Image.new("RGBA", (16, 16))\n'
  test.each([
    ['as a value', `${make}image`, true],
    ['when they are shown', `${make}image.show()`, false],
    ['when they are saved', `${make}image.save("test.png")`, false],
    ['in modes that PNG does not know', 'from PIL import Image\nImage.new("CMYK", (4, 4)).save("test.jpg")', false],
  ])('%s', async (_when, code, isMain) => {
    expect(await results(code)).toMatchObject([{ png: expect.stringMatching(/^iVBORw0KGgo/), is_main_result: isMain }])
  })

  test('not when they are written elsewhere', async () => {
    expect(await results(`${make}import io\nimage.save(io.BytesIO(), "PNG")`)).toEqual([])
  })
})

describe('display', () => {
  test('forms by their names; others are extra', async () => {
    const said = await results(
      'from IPython.display import display, Markdown, Latex, SVG, Javascript, JSON\n' +
        'display(Markdown("*a*"), Latex("$x$"), Javascript("1"), JSON({"a": 1.0}))\n' +
        'display({"text/latex": "y", "application/x-own": {"b": [2]}}, raw=True)',
    )
    expect(said).toMatchObject([
      { markdown: '*a*' },
      { latex: '$x$' },
      { javascript: '1' },
      { json: { a: 1 } },
      { latex: 'y', extra: { 'application/x-own': { b: [2] } } },
    ])
  })

  test('of JavaScript: objects that know how', async () => {
    const code = '({ [Symbol.for("Jupyter.display")]() { return { "text/plain": "Hello", "text/html": "<h1>Hello</h1>" } } })'
    expect(await results(code, 'javascript')).toEqual([
      { type: 'result', is_main_result: true, text: 'Hello', html: '<h1>Hello</h1>', extra: {} },
    ])
    expect(await results('[1, { a: "é" }]', 'javascript')).toMatchObject([{ text: "[ 1, { a: 'é' } ]", json: [1, { a: 'é' }] }])
  })
})

test('what is shown and then changed is shown as it was first and as it was last', async () => {
  const code = [
    'from IPython.display import display, update_display, HTML',
    'bar = display(HTML("0"), display_id=True)',
    'for part in range(1, 100): bar.update(HTML(str(part)))',
    'display("other", display_id="other"); update_display("never seen", display_id="other"); display("anew", display_id="other")',
    '"over"',
  ].join('\n')
  const shown = await results(code)
  expect(shown.map(({ html, text, is_main_result }) => [html ?? text, is_main_result])).toEqual([
    ['0', false],
    ['other', false],
    ['anew', false],
    ['over', true],
    ['99', false],
  ])
  expect(await results('bar.update(HTML("later"))')).toMatchObject([{ html: 'later', is_main_result: false }])
})

test('a wide frame is shown as in a notebook, also where a cell is the first to import pandas', async () => {
  const code = [
    'import json, os, socket, subprocess, sys',
    'near, far = socket.socketpair()',
    'alone = subprocess.Popen([sys.executable, "/caisson/runtimes/python/main.py"], close_fds=False, preexec_fn=lambda: os.dup2(far.fileno(), 3))',
    'wide = "import pandas as pd\\nstr(pd.DataFrame([[1] * 15], columns=[\'column%d\' % one for one in range(15)]))"',
    'for asked in ({"op": "init", "env": dict(os.environ), "cwd": "/tmp", "seed": "00" * 32}, {"op": "run", "id": 1, "code": wide, "env": {}}):',
    '    near.sendall(json.dumps(asked).encode() + b"\\n")',
    'lines = near.makefile(); ready, said = json.loads(lines.readline()), json.loads(lines.readline()); near.shutdown(socket.SHUT_WR); alone.wait()',
    'said["result"]["text"].count("column"), "..." in said["result"]["text"]',
  ].join('\n')
  expect(await results(code)).toMatchObject([{ text: '(15, False)' }])
})
