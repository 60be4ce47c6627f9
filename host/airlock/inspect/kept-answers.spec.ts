import { mkdtemp, readdir, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Answer, Question } from './exchange.ts'
import { KeptAnswers } from './kept-answers.ts'

const MAX_BYTES = 20_000
const BODY_BYTES = 4000
let home: string
let notices: string[]
let answers: KeptAnswers
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cai-'))
  notices = []
  answers = new KeptAnswers(home, (line) => notices.push(line), MAX_BYTES)
})
afterEach(() => rm(home, { recursive: true, force: true }))

const question: Question = {
  version: 1,
  method: 'GET',
  scheme: 'https',
  authority: 'registry.example',
  path: '/x',
  fields: [],
  body: null,
  isWhole: () => true,
  trailers: () => [],
}
const url = (name: string) => `https://registry.example/${name}?token=secret`

async function keep(name: string): Promise<void> {
  const bytes = Buffer.alloc(BODY_BYTES, name)
  const answer: Answer = { status: 200, fields: [], body: Readable.from([bytes]), isWhole: () => true, trailers: () => [] }
  const keeping = await answers.keep(url(name), question, answer)
  keeping?.take(bytes)
  await keeping?.end(true)
}

async function found(name: string): Promise<string | undefined> {
  const kept = await answers.find(url(name), question)
  return kept === undefined ? undefined : (await buffer(kept.answer().body)).toString().slice(0, name.length)
}

/** As if each had been used an hour after the one before. */
async function aged(names: readonly string[]): Promise<void> {
  for (const [index, name] of names.entries()) {
    const before = new Set(await readdir(join(home, 'cache')).catch(() => []))
    await keep(name)
    const at = new Date(Date.now() - (names.length - index) * 3_600_000)
    for (const file of await readdir(join(home, 'cache'))) if (!before.has(file)) await utimes(join(home, 'cache', file), at, at)
  }
}

test('when there is no more room, what was used least lately goes first, and the rest is whole', async () => {
  await aged(['one', 'two', 'three'])
  // Used again: not the oldest any more.
  expect(await found('one')).toBe('one')
  for (const name of ['four', 'five']) await keep(name)
  expect([await found('two'), await found('one'), await found('four'), await found('five')]).toEqual([undefined, 'one', 'four', 'five'])
  const files = await readdir(join(home, 'cache'))
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(home, 'cache', file))).size))
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(MAX_BYTES)
})

test('what is damaged is told once, without its query, and not taken for whole', async () => {
  const of = async (suffix: string) => join(home, 'cache', (await readdir(join(home, 'cache'))).find((name) => name.endsWith(suffix)) ?? '')
  const damages: readonly (() => Promise<void>)[] = [
    async () => truncate(await of('.body'), 10),
    async () => writeFile(await of('.json'), '{"url":'),
  ]
  for (const [index, damage] of damages.entries()) {
    await keep('whole')
    await damage()
    expect(await answers.find(url('whole'), question)).toBeUndefined()
    expect(await answers.find(url('whole'), question)).toBeUndefined()
    expect(notices).toHaveLength(index + 1)
    await rm(join(home, 'cache'), { recursive: true })
  }
  // As long as it was: this is seen when it is read.
  await keep('whole')
  await writeFile(await of('.body'), Buffer.alloc(BODY_BYTES, 'other'))
  await expect(found('whole')).rejects.toThrow('changed')
  await expect.poll(() => answers.find(url('whole'), question)).toBeUndefined()
  expect(notices).toHaveLength(3)
  for (const line of notices) expect([line.includes('registry.example/whole'), line.includes('secret')]).toEqual([true, false])
})
