import { afterAll, beforeAll, expect, test } from 'vitest'
import { SpecDaemon } from '../api/daemon.ts'
import { Guest } from './guest.ts'

// E2B's sandboxes: `pip install x`, then `import x` in the code that runs already. Nothing is asked of a registry here: the wheels are made inside.

const WHEELS = `
import zipfile
def wheel(name, version, source):
    with zipfile.ZipFile(f'/home/user/{name}-{version}-py3-none-any.whl', 'w') as file:
        about = f'{name}-{version}.dist-info'
        file.writestr(f'{name}/__init__.py', source)
        file.writestr(f'{about}/METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n')
        file.writestr(f'{about}/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
        file.writestr(f'{about}/entry_points.txt', f'[console_scripts]\\n{name}-says={name}:main\\n')
        file.writestr(f'{about}/RECORD', '')
wheel('tinything', '1.0', 'VALUE = 42\\ndef main():\\n    print("tiny says", VALUE)\\n')
# The warmed interpreter has another version of this one loaded, which the template brings.
wheel('cycler', '99.0', 'def cycler():\\n    return "mine"\\n')
`
const install = (name: string) => `install --no-index --disable-pip-version-check /home/user/${name}-*.whl 2>&1 | tail -1`

let daemon: SpecDaemon
beforeAll(async () => {
  daemon = await SpecDaemon.open()
})
afterAll(() => daemon[Symbol.asyncDispose]())

const create = async () => {
  const guest = await Guest.create(daemon, { templateID: 'code-interpreter-v1' })
  expect(await guest.code(WHEELS)).toBe('')
  return guest
}

test('what pip installs is there for code that runs already, for programs, and after a pause; by whatever pip', async () => {
  const guest = await create()
  expect(await guest.code('import tinything')).toContain('ModuleNotFoundError')
  expect(await guest.run(`pip ${install('tinything')}`)).toBe('Successfully installed tinything-1.0\n')
  expect(await guest.code('import tinything\ntinything.VALUE')).toBe('42')
  const look = 'tinything-says; python3 -c "import tinything, numpy; print(tinything.__file__)"'
  const seen = expect.stringMatching(/^tiny says 42\n\/opt\/caisson\/python\/lib\/python3\.\d+\/site-packages\/tinything\/__init__\.py\n$/)
  expect(await guest.run(look)).toEqual(seen)
  expect((await guest.ask('POST', '/pause', { memory: false })).status).toBe(204)
  expect((await guest.ask('POST', '/connect', { timeout: 120 })).status).toBe(201)
  expect(await guest.run(look)).toEqual(seen)
  expect(await guest.code('import tinything\ntinything.VALUE')).toBe('42')

  const byCode = await create()
  const program = `import subprocess, sys\nprint(subprocess.run(f'{sys.executable} -m pip ${install('tinything')}', shell=True, capture_output=True, text=True).stdout)`
  expect(await byCode.code(program)).toContain('Successfully installed tinything-1.0')
  expect(await byCode.code('import tinything\ntinything.VALUE')).toBe('42')
})

test('another version of what the template brings comes first, from the next start of a context on; the template keeps its own', async () => {
  const guest = await create()
  expect(await guest.code('import cycler\ncycler.__version__')).not.toContain('99')
  expect(await guest.run(`pip ${install('cycler')}`)).toBe('Successfully installed cycler-99.0\n')
  const contexts = (await (await guest.visit(49_999, '/contexts')).json()) as { id: string; language: string }[]
  const python = contexts.find(({ language }) => language === 'python')
  expect((await guest.visit(49_999, `/contexts/${python?.id}/restart`, { method: 'POST' })).status).toBe(200)
  expect(await guest.code('import cycler\ncycler.cycler()')).toBe('mine')
  const other = await create()
  expect(await other.code('import cycler\ncycler.__file__')).toContain('/caisson/python/lib/')
})

test('who breaks the environment has still what the template brings', async () => {
  const guest = await create()
  expect(
    await guest.run('rm -rf /opt/caisson/python/bin && sudo chmod 000 /opt/caisson/python/lib/python3*/site-packages && echo done'),
  ).toBe('done\n')
  const contexts = await guest.visit(49_999, '/contexts', { method: 'POST', body: JSON.stringify({ language: 'python' }) })
  expect(contexts.status).toBe(200)
  expect(await guest.code('import numpy\nint(numpy.arange(3).sum())')).toBe('3')
})
