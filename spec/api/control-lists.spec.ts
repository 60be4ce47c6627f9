import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { SandboxRecord } from '../../host/sandbox/record.ts'
import { ControlClient } from './control-client.ts'
import { ControlServer } from './control-server.ts'

const server = new ControlServer()
let alice: ControlClient
beforeAll(async () => {
  alice = new ControlClient(await server.listen(), server.keys.add('alice'))
})
afterAll(() => server[Symbol.asyncDispose]())
beforeEach(() => server.fleet.records.clear())

/** What E2B's clients put into the query: names and values, the form of them, and the query, each encoded. */
function encoded(metadata: Record<string, string>): string {
  const form = new URLSearchParams(
    Object.entries(metadata).map(([name, value]) => [encodeURIComponent(name), encodeURIComponent(value)] as [string, string]),
  )
  return new URLSearchParams({ metadata: form.toString() }).toString()
}

async function create(metadata: Record<string, string> = {}, change: Partial<SandboxRecord> = {}): Promise<string> {
  const { body } = await alice.ask('POST', '/v2/sandboxes', { templateID: 'base', metadata })
  const record = server.fleet.records.get(body.sandboxID)
  if (record === undefined) throw new Error('it was not created')
  server.fleet.put({ ...record, ...change })
  return body.sandboxID
}

async function ids(query = ''): Promise<string[]> {
  const { status, body } = await alice.ask('GET', `/v2/sandboxes?${query}`)
  expect(status).toBe(200)
  return body.map(({ sandboxID }: { sandboxID: string }) => sandboxID)
}

/** Every page, one after the other, as clients walk them. */
async function walk(query: string): Promise<string[][]> {
  const pages: string[][] = []
  for (let token: string | null = ''; token !== null; ) {
    const next: string = token === '' ? '' : `&nextToken=${encodeURIComponent(token)}`
    const { body, headers } = await alice.ask('GET', `/v2/sandboxes?${query}${next}`)
    pages.push(body.map(({ sandboxID }: { sandboxID: string }) => sandboxID))
    token = headers.get('x-next-token')
  }
  return pages
}

describe('metadata', () => {
  test('the form that was seen on the wire', async () => {
    const id = await create({ 'my key': 'v&1', b: 'c', more: '' })
    await create({ 'my key': 'v&1' })
    expect(await ids('metadata=my%252520key%3Dv%2525261%26b%3Dc')).toEqual([id])
  })

  test('whatever they are, they are found by what they are and by nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }), fc.string({ unit: 'grapheme', maxLength: 8 }), {
          minKeys: 1,
          maxKeys: 4,
        }),
        async (metadata) => {
          server.fleet.records.clear()
          const id = await create(metadata)
          await create({})
          expect(await ids(encoded(metadata))).toEqual([id])
          const [[name, value] = ['', '']] = Object.entries(metadata)
          expect(await ids(encoded({ ...metadata, [name]: `${value}x` }))).toEqual([])
        },
      ),
      { numRuns: 40 },
    )
  })

  test('names that every object has are not metadata', async () => {
    await create()
    expect(await ids(encoded({ toString: 'x' }))).toEqual([])
    expect(await ids(encoded({ __proto__x: 'x' }))).toEqual([])
  })
})

describe('order and pages', () => {
  test('running and paused ones together, newest first, unless asked otherwise', async () => {
    const first = await create({}, { startedMs: 1000, state: 'paused', paused: 'frozen' })
    const second = await create({}, { startedMs: 2000 })
    const third = await create({}, { startedMs: 3000, state: 'paused', paused: 'stopped' })
    expect(await ids()).toEqual([third, second, first])
    expect(await ids('order=asc')).toEqual([first, second, third])
    expect(await ids('state=paused')).toEqual([third, first])
    expect(await ids('state=running%2Cpaused&order=asc')).toEqual([first, second, third])
    expect(await ids('state=')).toEqual([third, second, first])
    const { body, headers } = await alice.ask('GET', '/v2/sandboxes?limit=1')
    expect(body).toMatchObject([{ sandboxID: third, state: 'paused' }])
    expect(headers.get('x-total-running')).toBe('1')
    const running = await alice.ask('GET', '/sandboxes')
    expect(running.body).toMatchObject([{ sandboxID: second, state: 'running' }])
  })

  test('pages hold each once, whatever the order and the size, and however many began at the same moment', async () => {
    const times = [5, 1, 1, 1, 9, 2, 9]
    const all: string[] = []
    for (const startedMs of times) all.push(await create({}, { startedMs }))
    for (const order of ['asc', 'desc']) {
      const whole = await ids(`order=${order}`)
      expect([...whole].sort()).toEqual([...all].sort())
      for (const limit of [1, 2, 3, 7, 100]) {
        const pages = await walk(`order=${order}&limit=${limit}`)
        expect(pages.flat()).toEqual(whole)
        expect(pages).toHaveLength(Math.ceil(times.length / limit))
      }
    }
  })

  test('what comes and goes between two pages neither repeats nor hides another', async () => {
    const [one, two, three] = [await create({}, { startedMs: 1 }), await create({}, { startedMs: 2 }), await create({}, { startedMs: 3 })]
    const first = await alice.ask('GET', '/v2/sandboxes?limit=1')
    expect(first.body[0].sandboxID).toBe(three)
    await create({}, { startedMs: 4 })
    server.fleet.records.delete(three)
    const token = encodeURIComponent(first.headers.get('x-next-token') ?? '')
    expect(await ids(`limit=5&nextToken=${token}`)).toEqual([two, one])
    expect(await alice.ask('GET', `/v2/sandboxes?order=asc&nextToken=${token}`)).toMatchObject({ status: 400 })
  })

  test('startedAfter is the first moment that counts', async () => {
    const startedMs = Date.parse('2026-01-01T00:00:00.250Z')
    const id = await create({}, { startedMs })
    expect(await ids('startedAfter=2026-01-01T00:00:00.250Z')).toEqual([id])
    expect(await ids(`startedAfter=${encodeURIComponent('2026-01-01T01:00:00.250000+01:00')}`)).toEqual([id])
    expect(await ids('startedAfter=2026-01-01T00:00:01.250Z')).toEqual([])
  })

  test('a template is found by the name that GET tells, and by what it was asked for with', async () => {
    await create()
    const { body } = await alice.ask('POST', '/v2/sandboxes', { templateID: 'code-interpreter-v1' })
    const { templateID } = (await alice.ask('GET', `/sandboxes/${body.sandboxID}`)).body
    expect(await ids(`template=${templateID}`)).toEqual([body.sandboxID])
    expect(await ids('template=code-interpreter-v1')).toEqual([body.sandboxID])
    expect(await ids('template=unknown')).toEqual([])
  })
})

test.each([
  ['limit=0', 'limit'],
  ['limit=101', 'limit'],
  ['limit=ten', 'limit'],
  ['order=up', 'order'],
  ['state=gone', 'state'],
  ['startedAfter=yesterday', 'startedAfter'],
  ['startedAfter=2026-13-01T00:00:00Z', 'startedAfter'],
  ['nextToken=abc', 'nextToken'],
  ['metadata=%25zz%3D1', 'metadata'],
  ['colour=red', 'colour'],
  ['limit=1&limit=2', 'limit'],
])('?%s is refused, naming %s', async (query, naming) => {
  const { status, body } = await alice.ask('GET', `/v2/sandboxes?${query}`)
  expect(status).toBe(400)
  expect(body).toMatchObject({ code: 400, error_code: 'bad_request', message: expect.stringContaining(naming) })
})
