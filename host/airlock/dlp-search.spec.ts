import { createCipheriv } from 'node:crypto'
import { resolve } from 'node:path'
import { brotliCompressSync, constants, deflateRawSync, gzipSync } from 'node:zlib'
import { readPolicy } from '@caisson/policy'
import type { NetworkRecord } from '@caisson/wire'
import { afterAll, expect, test } from 'vitest'
import { Outflow } from './dlp-outflow.ts'
import { DlpPassage } from './dlp-passage.ts'
import { Searchers } from './search/searchers.ts'

/** Has the form of a token of GitHub's. */
const TOKEN = `gh${'p_'}${'A1b2C3d4E5f6'.repeat(3)}`
const searchers = new Searchers(resolve('dist/searcher.mjs'), 1)
afterAll(() => searchers[Symbol.asyncDispose]())

function passageOf(sandbox = 'i1', using = searchers) {
  const { dlp: policy } = readPolicy({ mode: 'open', dlp: {} }, 'network')
  if (policy === null) throw new Error('no dlp')
  const records: NetworkRecord[] = []
  const record = (one: NetworkRecord): boolean => records.push(one) > 0
  const outflow = new Outflow(policy, { sandbox, canaries: [], record, spent: new Map(), searchers: using })
  return { records, passage: new DlpPassage(outflow, { name: 'api.example.com', address: null, port: 443 }) }
}

function watchOf(passage: DlpPassage, coding: string | null = null) {
  const watch = passage.watch({ what: 'body', way: 'out', fields: coding === null ? [] : [['content-encoding', coding]] })
  if (watch === null) throw new Error('nobody looks')
  return watch
}

/** What leaves, in pieces of `size`; the rule of what stops it. */
async function sent(passage: DlpPassage, body: Buffer, { coding = null as string | null, size = 10_000 } = {}) {
  const watch = watchOf(passage, coding)
  const left: Buffer[] = []
  for (let at = 0; at <= body.length; at += size) {
    const passed = at < body.length - size ? await watch.chunk(body.subarray(at, at + size)) : await last(watch, body.subarray(at))
    if ('rule' in passed) return { left: Buffer.concat(left), rule: passed.rule }
    left.push(passed)
    if (at >= body.length - size) break
  }
  watch.close()
  return { left: Buffer.concat(left), rule: null }
}

async function last(watch: ReturnType<typeof watchOf>, bytes: Buffer) {
  const passed = await watch.chunk(bytes)
  const rest = 'rule' in passed ? passed : await watch.end()
  return 'rule' in rest ? rest : Buffer.concat([passed as Buffer, rest])
}

/** Compresses badly, and says nothing. The same each time: by chance, one in some hundreds would say something, unpacked in one of all the ways tried. */
const noise = (bytes: number) =>
  Buffer.from(
    createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16))
      .update(Buffer.alloc(bytes / 2))
      .toString('hex'),
  )

test('a long body is searched by a thread as it would be here, whatever its pieces; what is harmless leaves as it came', async () => {
  const before = noise(60_000)
  const body = Buffer.concat([before, Buffer.from(` ${TOKEN} `), noise(60_000)])
  for (const size of [1000, 4096, 7777, 65_536, 200_000]) {
    const { passage, records } = passageOf()
    const { left, rule } = await sent(passage, body, { size })
    expect(rule).toBe('dlp:github-token')
    expect(body.subarray(0, left.length).equals(left) && left.length <= before.length + 1).toBe(true)
    expect(records).toHaveLength(1)
  }
  const { passage } = passageOf()
  expect((await sent(passage, before)).left.equals(before)).toBe(true)
})

test('Brotli and bare DEFLATE of any length are searched as they come', async () => {
  const fast = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }
  const packs: [string, (bytes: Buffer) => Buffer][] = [
    ['br', (bytes) => brotliCompressSync(bytes, fast)],
    ['deflate', (bytes) => deflateRawSync(bytes)],
  ]
  for (const [coding, pack] of packs) {
    const harmless = pack(noise(3 * 1024 * 1024))
    expect(harmless.length).toBeGreaterThan(1024 * 1024)
    const well = passageOf()
    const { left, rule } = await sent(well.passage, harmless, { coding, size: 65_536 })
    expect([rule, left.equals(harmless), well.records]).toEqual([null, true, []])
    const { passage, records } = passageOf()
    const bad = pack(Buffer.concat([noise(3 * 1024 * 1024), Buffer.from(` ${TOKEN} `), noise(1000)]))
    const stopped = await sent(passage, bad, { coding, size: 65_536 })
    expect(stopped.rule).toBe('dlp:github-token')
    expect(stopped.left.length).toBeLessThan(bad.length)
    expect(records).toMatchObject([{ through: [coding] }])
  }
})

test('while a packed body is searched, what others send is judged', async () => {
  const heavy = watchOf(passageOf('i1').passage)
  // Little that is sent, and all that a search may unpack of it.
  const packed = gzipSync(Buffer.alloc(24 * 1024 * 1024, 'a line of text, as people write it\n'))
  let isOver = false
  const over = Promise.resolve(heavy.chunk(packed)).then((passed) => {
    isOver = true
    return passed
  })
  const others = ['i2', 'i3'].map((sandbox) => passageOf(sandbox).passage)
  for (const passage of others) {
    const passed = await passage.fields([['x-note', TOKEN]], 'out')
    expect(passed).toMatchObject({ rule: 'dlp:github-token' })
    // One turn of the loop at least: it is not held up.
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(isOver).toBe(false)
  await over
  heavy.close()
})

test('a thread that dies takes what it had in hand with it, as a no; the next one is as good', async () => {
  await using own = new Searchers(resolve('dist/searcher.mjs'), 1)
  const { passage } = passageOf('i1', own)
  const watch = watchOf(passage)
  expect('rule' in (await watch.chunk(noise(20_000)))).toBe(false)
  await Promise.all(own.threads.map((thread) => thread.terminate()))
  expect(await watch.chunk(noise(20_000))).toMatchObject({ rule: 'dlp:search' })
  watch.close()
  expect((await sent(passage, Buffer.concat([noise(20_000), Buffer.from(` ${TOKEN}`)]))).rule).toBe('dlp:github-token')
})

test('a thread that cannot be had is a no', async () => {
  const none = new Searchers(resolve('dist/there-is-none.mjs'), 1)
  const { passage } = passageOf('i1', none)
  expect((await sent(passage, noise(20_000))).rule).toBe('dlp:search')
  await none[Symbol.asyncDispose]()
  expect((await sent(passage, noise(20_000))).rule).toBe('dlp:search')
})
