import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Landing, landingName } from './landing.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'caisson-landing-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

const bytes = (text: string) => [Buffer.from(text)]

test.each([
  ['chart.png', 'chart.png'],
  ['Größe 1.csv', 'Größe 1.csv'],
  ['a/b', 'a_b'],
  ['a\nb\u001b[2J', 'a_b_[2J'],
  ['rtl\u202egpj.exe', 'rtl_gpj.exe'],
  ['..', undefined],
  ['.', undefined],
  ['', undefined],
  ['.bashrc', undefined],
  ['x'.repeat(256), undefined],
])('the name %j lands as %j', (name, lands) => {
  expect(landingName(name)).toBe(lands)
})

test('no name leads anywhere but into its folder', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) => {
      const lands = landingName(name)
      if (lands === undefined) return
      expect(join('/out', lands)).toBe(`/out/${lands}`)
      expect(landingName(lands)).toBe(lands)
    }),
  )
})

test('a file lands whole, in folders made on the way, not executable', async () => {
  await using landing = await Landing.open(join(folder, 'new', 'out'))
  await landing.put(['a', 'b', 'c.txt'], bytes('one'))
  await landing.put(['a', 'b', 'c.txt'], bytes('two'))
  const path = join(folder, 'new', 'out', 'a', 'b', 'c.txt')
  expect(await readFile(path, 'utf8')).toBe('two')
  expect((await lstat(path)).mode & 0o7111).toBe(0)
  expect(await readdir(join(folder, 'new', 'out', 'a', 'b'))).toEqual(['c.txt'])
})

test('a link in the place of a file is replaced, never followed', async () => {
  const outside = join(folder, 'outside')
  await writeFile(outside, 'precious')
  await mkdir(join(folder, 'out'))
  await symlink(outside, join(folder, 'out', 'x'))
  await using landing = await Landing.open(join(folder, 'out'))
  await landing.put(['x'], bytes('new'))
  expect(await readFile(outside, 'utf8')).toBe('precious')
  expect((await lstat(join(folder, 'out', 'x'))).isFile()).toBe(true)
})

test('a link in the place of a folder is refused', async () => {
  await mkdir(join(folder, 'outside'))
  await mkdir(join(folder, 'out'))
  await symlink(join(folder, 'outside'), join(folder, 'out', 'sub'))
  await using landing = await Landing.open(join(folder, 'out'))
  await expect(landing.put(['sub', 'x'], bytes('new'))).rejects.toMatchObject({ code: 'FILE_EXISTS' })
  expect(await readdir(join(folder, 'outside'))).toEqual([])
})

test('a folder in the place of a file is refused, and nothing half-made stays', async () => {
  await mkdir(join(folder, 'out', 'x'), { recursive: true })
  await using landing = await Landing.open(join(folder, 'out'))
  await expect(landing.put(['x'], bytes('new'))).rejects.toMatchObject({ code: 'FILE_EXISTS' })
  expect(await readdir(join(folder, 'out'))).toEqual(['x'])
})

test('content that breaks off leaves nothing', async () => {
  await using landing = await Landing.open(join(folder, 'out'))
  async function* broken() {
    yield Buffer.from('half')
    throw new Error('lost')
  }
  await expect(landing.put(['x'], broken())).rejects.toThrow('lost')
  expect(await readdir(join(folder, 'out'))).toEqual([])
})

test('names that were not made safe are refused', async () => {
  await using landing = await Landing.open(join(folder, 'out'))
  for (const names of [['..', 'x'], ['a/b'], ['.hidden'], []]) {
    await expect(landing.put(names, bytes(''))).rejects.toMatchObject({ code: 'INTERNAL' })
  }
})
