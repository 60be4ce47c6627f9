import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Made } from './made.ts'
import { openTemplate, type Shelves, templateNames } from './template.ts'

let scratch = ''
let shelves: Shelves
const signal = new AbortController().signal
const BASE: Made = {
  version: 1,
  name: 'base',
  etc: 'etc-01234567',
  python: null,
  host: ['/usr'],
  symlinks: [{ path: '/bin', to: 'usr/bin' }],
  languages: ['bash'],
}
const PYTHON: Made = { ...BASE, name: 'code-interpreter', python: { folder: 'python-89abcdef', interpreter: '/usr/bin/python3.11' } }

async function put(name: string, content: unknown): Promise<void> {
  await mkdir(join(scratch, name), { recursive: true })
  await writeFile(join(scratch, name, 'template.json'), typeof content === 'string' ? content : JSON.stringify(content))
}

async function code(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'no error',
    (error: unknown) => (error instanceof Fault ? error.code : String(error)),
  )
}

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'caisson-template-'))
  shelves = { templates: scratch, programs: join(scratch, 'programs'), zygoteLibrary: join(scratch, 'zygote.so') }
  await mkdir(join(shelves.programs, 'python'), { recursive: true })
  await writeFile(join(shelves.programs, 'python', 'zygote.py'), '')
  await writeFile(shelves.zygoteLibrary, '')
})
afterEach(() => rm(scratch, { recursive: true, force: true }))

test('a template shows the machine read-only, its own /etc and the programs of the runtimes', async () => {
  await put('base', BASE)
  const template = await openTemplate('base', shelves, signal)
  expect(template.binds.map(({ source, target }) => `${source} ${target}`)).toEqual([
    '/usr /usr',
    `${join(scratch, 'base/etc-01234567')} /etc`,
    `${shelves.programs} /caisson/runtimes`,
  ])
  expect(template.binds.every(({ mode }) => mode === 'ro')).toBe(true)
  expect(template.zygote).toBeNull()
  expect(template.env['PATH']).not.toContain('/caisson/python')
  expect(template.env['PATH']?.split(':').at(-1)).toBe('/caisson/bin')
})

test('code-interpreter has a Python, first in PATH, and a zygote', async () => {
  await mkdir(join(scratch, 'code-interpreter/python-89abcdef/bin'), { recursive: true })
  await writeFile(join(scratch, 'code-interpreter/python-89abcdef/bin/python'), '')
  await put('code-interpreter', PYTHON)
  const template = await openTemplate('code-interpreter', shelves, signal)
  expect(template.env['PATH']?.split(':')[0]).toBe('/opt/caisson/python/bin')
  expect(template.zygote?.argv).toEqual(['/caisson/python/bin/python', '/caisson/runtimes/python/zygote.py', '/caisson/zygote.so'])
  expect(template.binds.map(({ target }) => target)).toEqual(expect.arrayContaining(['/caisson/python', '/caisson/zygote.so']))
})

test('the generation changes with the library, a program and the build, and with nothing else', async () => {
  await put('base', BASE)
  const generation = async () => (await openTemplate('base', shelves, signal)).generation
  const seen = [await generation()]
  expect(await generation()).toBe(seen[0])
  await utimes(shelves.zygoteLibrary, 1, 1)
  seen.push(await generation())
  await writeFile(join(shelves.programs, 'python', 'zygote.py'), 'pass')
  seen.push(await generation())
  await put('base', { ...BASE, etc: 'etc-76543210' })
  seen.push(await generation())
  expect(new Set(seen).size).toBe(4)
  expect(seen.every((each) => /^[0-9a-f]{8}$/.test(each))).toBe(true)
})

test('what is not there, not ours or not whole is refused by name', async () => {
  expect(templateNames()).toEqual(['base', 'code-interpreter'])
  expect(await code(openTemplate('ubuntu', shelves, signal))).toBe('TEMPLATE_UNKNOWN')
  expect(await code(openTemplate('../base', shelves, signal))).toBe('TEMPLATE_UNKNOWN')
  expect(await code(openTemplate('base', shelves, signal))).toBe('TEMPLATE_NOT_BUILT')
  for (const content of ['{', { ...BASE, version: 2 }, { ...BASE, surprise: 1 }, { ...BASE, etc: '../../etc' }, PYTHON]) {
    await put('base', content)
    expect(await code(openTemplate('base', shelves, signal))).toBe('TEMPLATE_NOT_BUILT')
  }
  await put('code-interpreter', PYTHON)
  expect(await code(openTemplate('code-interpreter', shelves, signal))).toBe('TEMPLATE_NOT_BUILT')
  await put('base', BASE)
  expect(await code(openTemplate('base', shelves, AbortSignal.abort()))).toBe('CANCELLED')
})
