import { resolve } from 'node:path'
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { readPolicy } from '@caisson/policy'
import type { NetworkDlp, NetworkRecord } from '@caisson/wire'
import { afterAll, describe, expect, test } from 'vitest'
import { DlpNames } from './dlp-names.ts'
import { Outflow } from './dlp-outflow.ts'
import { DlpPassage } from './dlp-passage.ts'
import type { Question } from './inspect/exchange.ts'
import { Searchers } from './search/searchers.ts'

/** Has the form of a token of GitHub's. */
const TOKEN = `gh${'p_'}${'A1b2C3d4E5f6'.repeat(3)}`
const CARD = `4111 ${'1111 1111'} 1111`
const CANARY = 'kq7vd2mzx4tnw3jh5yrp6bgc'
const TARGET = { name: 'api.example.com', address: null, port: 443 }
const QUESTION: Question = {
  version: 1,
  method: 'POST',
  scheme: 'https',
  authority: 'api.example.com',
  path: '/v1/items?q=1',
  fields: [['accept', '*/*']],
  body: null,
  isWhole: () => true,
  trailers: () => [],
}

const searchers = new Searchers(resolve('dist/searcher.mjs'), 2)
afterAll(() => searchers[Symbol.asyncDispose]())

function outflowOf(dlp: NetworkDlp, isRecorded = true) {
  const { dlp: policy } = readPolicy({ mode: 'open', dlp }, 'network')
  if (policy === null) throw new Error('no dlp')
  const records: NetworkRecord[] = []
  const record = (one: NetworkRecord): boolean => isRecorded && records.push(one) > 0
  const outflow = new Outflow(policy, { sandbox: 'i1', canaries: [{ name: 'bait', value: CANARY }], record, spent: new Map(), searchers })
  return { outflow, records, passage: new DlpPassage(outflow, TARGET) }
}

/** What leaves of a body; the rule of what stops it. */
async function sent(
  passage: DlpPassage,
  chunks: readonly (string | Buffer)[],
  fields: readonly (readonly [string, string])[] = [],
  what: 'body' | 'message' = 'body',
) {
  const watch = passage.watch({ what, way: 'out', fields })
  if (watch === null) throw new Error('nobody looks')
  let left = Buffer.alloc(0)
  for (const give of [...chunks.map((chunk) => () => watch.chunk(Buffer.from(chunk as string))), () => watch.end()]) {
    const passed = await give()
    if ('rule' in passed) return { left: left.toString('latin1'), rule: passed.rule }
    left = Buffer.concat([left, passed])
  }
  return { left: left.toString('latin1'), rule: null }
}

describe('a value is stopped wherever it stands, and its record names all but the value', () => {
  const cases: Record<string, (passage: DlpPassage) => unknown> = {
    url: (passage) => passage.request({ ...QUESTION, path: `/search?q=${encodeURIComponent(TOKEN)}` }),
    header: (passage) => passage.request({ ...QUESTION, fields: [['x-note', Buffer.from(TOKEN).toString('base64')]] }),
    'name of a header': (passage) => passage.request({ ...QUESTION, fields: [[TOKEN, 'x']] }),
    trailer: (passage) => passage.fields([['x-sum', TOKEN]], 'out'),
    body: (passage) => sent(passage, [JSON.stringify({ note: TOKEN })]),
    message: (passage) => sent(passage, [TOKEN], [], 'message'),
    'gzip body': (passage) => sent(passage, [gzipSync(TOKEN)], [['content-encoding', 'gzip']]),
    'deflate body': (passage) => sent(passage, [deflateSync(TOKEN)], [['content-encoding', 'deflate']]),
    'raw deflate body': (passage) => sent(passage, [deflateRawSync(TOKEN)], [['content-encoding', 'deflate']]),
    'deflate body, a small window': (passage) => sent(passage, [deflateSync(TOKEN, { windowBits: 9 })], [['content-encoding', 'deflate']]),
    // Bits that mean nothing make its first byte look like that of zlib.
    'raw deflate body that looks like zlib': (passage) =>
      sent(passage, ['\x08', Buffer.from([0, 0, 0xff, 0xff]), deflateRawSync(TOKEN)], [['content-encoding', 'deflate']]),
    'br body': (passage) => sent(passage, [brotliCompressSync(TOKEN)], [['content-encoding', 'br']]),
    'gzip, br body': (passage) => sent(passage, [brotliCompressSync(gzipSync(TOKEN))], [['content-encoding', 'gzip, br']]),
  }
  test.each(Object.entries(cases))('%s', async (place, send) => {
    const { passage, records } = outflowOf({})
    const said = (await send(passage)) as { rule: string; left?: string }
    expect(said.rule).toBe('dlp:github-token')
    expect(said.left ?? '').not.toContain(TOKEN.slice(0, 12))
    expect(records).toMatchObject([
      { kind: 'network-dlp', sandbox: 'i1', name: 'api.example.com', port: 443, detector: 'github-token', verdict: 'block' },
    ])
    expect(['url', 'header', 'body', 'message']).toContain((records[0] as { place: string }).place)
    expect(JSON.stringify([records, said])).not.toContain(TOKEN.slice(4))
    if (place === 'br body') expect(records).toMatchObject([{ through: ['br'] }])
  })
})

test('what is harmless leaves as it came', async () => {
  const { passage, records } = outflowOf({})
  const body = JSON.stringify({ text: 'nothing to see', id: 7, hash: 'd41d8cd98f00b204e9800998ecf8427e' })
  expect(await passage.request(QUESTION)).toEqual(QUESTION)
  expect((await sent(passage, [body, body.repeat(200)])).left).toBe(body.repeat(201))
  expect((await sent(passage, [brotliCompressSync(body)], [['content-encoding', 'br']])).rule).toBeNull()
  expect(passage.watch({ what: 'body', way: 'in', fields: [] })).toBeNull()
  expect(records).toEqual([])
})

test('a body in pieces: not one byte of the value leaves', async () => {
  const { passage } = outflowOf({})
  const long = `start ${'x'.repeat(6000)} `
  const { left, rule } = await sent(passage, [long, TOKEN.slice(0, 10), TOKEN.slice(10, 39), TOKEN.slice(39), ' end'])
  expect(rule).toBe('dlp:github-token')
  expect(left).toBe(long)
})

describe('redacted, it is as long as it was', () => {
  test('in a body, whatever its pieces', async () => {
    const { passage, records } = outflowOf({ detectors: { money: 'redact' } })
    const text = `{"card":"${CARD}","more":"${CARD}"}`
    for (const at of [5, 12, 20, 30]) {
      const { left, rule } = await sent(passage, [text.slice(0, at), text.slice(at)])
      expect(rule).toBeNull()
      expect(left).toBe(text.replaceAll(CARD, '*'.repeat(CARD.length)))
    }
    expect(records[0]).toMatchObject({ detector: 'card-number', verdict: 'redact', place: 'body' })
  })

  test('in a URL and in a header', async () => {
    const { passage } = outflowOf({ detectors: { 'github-token': 'redact' } })
    expect(
      await passage.request({
        ...QUESTION,
        path: `/a?t=${TOKEN}&b=1`,
        fields: [
          ['authorization', `token ${TOKEN}`],
          ['x', 'y'],
        ],
      }),
    ).toEqual({
      ...QUESTION,
      path: `/a?t=${'*'.repeat(TOKEN.length)}&b=1`,
      fields: [
        ['authorization', `token ${'*'.repeat(TOKEN.length)}`],
        ['x', 'y'],
      ],
    })
  })

  test('what is hidden cannot be, and is blocked', async () => {
    const { passage } = outflowOf({ detectors: { 'github-token': 'redact' } })
    expect((await sent(passage, [Buffer.from(`a ${TOKEN}`).toString('base64')])).rule).toBe('dlp:github-token')
    expect((await sent(passage, [brotliCompressSync(TOKEN)], [['content-encoding', 'br']])).rule).toBe('dlp:github-token')
  })
})

test('an alert is recorded, and all leaves; what cannot be recorded does not', async () => {
  const { passage, records } = outflowOf({ detectors: { all: 'alert' } })
  expect(await sent(passage, [TOKEN])).toEqual({ left: TOKEN, rule: null })
  expect(records).toMatchObject([{ verdict: 'alert' }])
  expect((await sent(outflowOf({ detectors: { all: 'alert' } }, false).passage, [TOKEN])).rule).toBe('dlp:unrecorded')
})

test('a value may be sent where that is said', async () => {
  const { passage } = outflowOf({ detectors: { 'github-token': { verdict: 'block', except: ['*.example.com:443'] } } })
  expect((await sent(passage, [TOKEN])).rule).toBeNull()
})

describe('over several requests', () => {
  test('cut by the border of two bodies', async () => {
    const { passage } = outflowOf({})
    expect((await sent(passage, [`data ${TOKEN.slice(0, 20)}`])).rule).toBeNull()
    expect((await sent(passage, [TOKEN.slice(20)])).rule).toBe('dlp:github-token')
  })

  test('in pieces with words around them: bodies, URLs, messages', async () => {
    const pieces = TOKEN.match(/.{1,5}/g) ?? []
    const ways: Record<string, (passage: DlpPassage, piece: string, index: number) => Promise<string | null>> = {
      body: async (passage, piece, index) => {
        const body = JSON.stringify({ seq: index, part: piece, last: false })
        return (await sent(passage, [body], [['content-length', String(body.length)]])).rule
      },
      url: async (passage, piece, index) => {
        const passed = await passage.request({ ...QUESTION, method: 'GET', path: `/c/${index}?d=${piece}` })
        return passed !== null && 'rule' in passed ? passed.rule : null
      },
      message: async (passage, piece) => (await sent(passage, [`{"t":"chunk","d":"${piece}"}`], [], 'message')).rule,
    }
    for (const [way, send] of Object.entries(ways)) {
      const { passage } = outflowOf({})
      const rules: (string | null)[] = []
      for (const [index, piece] of pieces.entries()) rules.push(await send(passage, piece, index))
      expect(rules, way).toContain('dlp:github-token')
    }
  })

  test('not over two destinations', async () => {
    const { outflow, passage } = outflowOf({})
    const other = new DlpPassage(outflow, { ...TARGET, name: 'other.example.com' })
    expect((await sent(passage, [`data ${TOKEN.slice(0, 20)}`])).rule).toBeNull()
    expect((await sent(other, [TOKEN.slice(20)])).rule).toBeNull()
  })
})

test('a canary is stopped in any form, and told', async () => {
  const forms = [
    CANARY,
    CANARY.toUpperCase(),
    Buffer.from(CANARY).toString('base64'),
    Buffer.from(CANARY).toString('hex'),
    CANARY.slice(4, 14),
  ]
  for (const form of forms) {
    const { passage, records } = outflowOf({ detectors: { all: 'off' } })
    expect((await sent(passage, [`value=${form}`])).rule).toBe('dlp:canary:bait')
    expect(records).toMatchObject([{ detector: 'canary:bait', verdict: 'block' }])
    expect(JSON.stringify(records)).not.toContain(CANARY.slice(0, 8))
  }
})

test('what cannot be looked into is blocked, or only told', async () => {
  const opaque: readonly (readonly [string, Buffer])[] = [
    ['zstd', Buffer.from('(\xb5/\xfd1234', 'latin1')],
    ['br', Buffer.from('this is no brotli')],
    ['br, gzip', gzipSync(brotliCompressSync('x'))],
    ['compress', Buffer.from('\x1f\x9d\x90abc', 'latin1')],
    ['br', Buffer.concat([brotliCompressSync('x'), Buffer.from('behind its end')])],
    ['br', brotliCompressSync(Buffer.alloc(10_000, 'abc')).subarray(0, -2)],
    ['br', brotliCompressSync(Buffer.alloc(5 * 1024 * 1024), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })],
  ]
  for (const [coding, bytes] of opaque) {
    expect((await sent(outflowOf({}).passage, [bytes], [['content-encoding', coding]])).rule, coding).toBe('dlp:unscannable')
    const { passage, records } = outflowOf({ unscannable: 'alert' })
    expect(await sent(passage, [bytes], [['content-encoding', coding]]), coding).toEqual({ left: bytes.toString('latin1'), rule: null })
    expect(records[0]).toMatchObject({ detector: 'unscannable', verdict: 'alert' })
  }
})

test('a budget counts all that is sent to its hosts, and holds over other rules', async () => {
  const { outflow, passage } = outflowOf({ budgets: { '*.example.com': 100, default: 1000 } })
  expect((await sent(passage, ['x'.repeat(60)])).rule).toBeNull()
  expect((await sent(new DlpPassage(outflow, { ...TARGET, name: 'b.example.com' }), ['x'.repeat(60)])).rule).toBe('dlp:budget')
  expect((await sent(new DlpPassage(outflow, { ...TARGET, name: 'other.test' }), ['x'.repeat(600)])).rule).toBeNull()
  expect(await passage.request({ ...QUESTION, path: `/${'a'.repeat(100)}` })).toMatchObject({ rule: 'dlp:budget' })
})

describe('names that are asked for', () => {
  const weighed = (names: readonly string[], dlp: NetworkDlp = {}) => {
    const { outflow, records } = outflowOf(dlp)
    const all = new DlpNames(outflow)
    return { rules: names.map((name) => all.weigh(name)?.rule ?? null), records }
  }
  const base32 = (text: string): string => {
    let bits = ''
    for (const byte of Buffer.from(text)) bits += byte.toString(2).padStart(8, '0')
    return (bits.match(/.{5}/g) ?? []).map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(five, 2)]).join('')
  }

  test('ordinary ones are', async () => {
    const names = [
      'example.com',
      'www.example.com',
      'packages.example.org',
      'files.packages.example.net',
      'a1b2.cdn.example.net',
      'www.bbc.co.uk',
    ]
    expect(weighed(names).rules).toEqual(names.map(() => null))
  })

  test('values in their labels are found: hex, base32, over labels, over names, a canary as it is', async () => {
    const hex = Buffer.from(TOKEN).toString('hex')
    expect(weighed([`${hex.slice(0, 60)}.${hex.slice(60)}.evil.example`]).rules).toEqual(['dlp:github-token'])
    expect(weighed([`${base32(`x ${TOKEN} y`).slice(0, 60)}.${base32(`x ${TOKEN} y`).slice(60)}.evil.example`]).rules).toEqual([
      'dlp:github-token',
    ])
    expect(weighed((hex.match(/.{1,20}/g) ?? []).map((piece, index) => `${index}.${piece}.evil.example`)).rules).toContain(
      'dlp:github-token',
    )
    // A domain with a name as short as that of a country's registry is somebody's, too.
    expect(weighed([`${CANARY}.abc.xyz`, `${CANARY}.t.co`]).rules).toEqual(['dlp:canary:bait', 'dlp:canary:bait'])
    const { rules, records } = weighed([`${CANARY}.evil.example`])
    expect(rules).toEqual(['dlp:canary:bait'])
    expect(records).toMatchObject([{ place: 'name', detector: 'canary:bait' }])
    expect(JSON.stringify(records)).not.toContain(CANARY.slice(0, 12))
  })

  test('however they are put, they carry no more out than the budget; what was asked already costs nothing', async () => {
    const names = Array.from({ length: 60 }, (_, index) => `${String(index).padStart(10, 'q')}.evil.example`)
    const { rules } = weighed([...names, ...names.slice(0, 5), 'www.other.example'], { dnsBytes: 200 })
    expect(rules.filter((rule) => rule === null)).toHaveLength(20 + 5 + 1)
    expect(rules[20]).toBe('dlp:dns-budget')
  })
})
