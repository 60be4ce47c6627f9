import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type AuditRecord, auditFields } from '../../host/audit/record.ts'
import { ControlClient } from './control-client.ts'
import { ControlServer } from './control-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'logs-'))
const path = join(folder, 'audit.jsonl')
const server = new ControlServer(path)
let alice: ControlClient
let bob: ControlClient
let operator: ControlClient
beforeAll(async () => {
  const url = await server.listen()
  alice = new ControlClient(url, server.keys.add('alice'))
  bob = new ControlClient(url, server.keys.add('bob'))
  operator = new ControlClient(url, server.keys.add('root', true))
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

/** The moment that the sandbox began. */
let beganMs: number
let id: string
beforeEach(async () => {
  id = (await alice.ask('POST', '/v2/sandboxes', { templateID: 'base' })).body.sandboxID
  beganMs = server.fleet.find(id, { name: 'alice' } as never).startedMs
  writeFileSync(path, '')
})

/** As a host writes it. */
const lineOf = (record: AuditRecord, at: Date) => `{"seq":1,"prev":"","ts":"${at.toISOString()}",${auditFields(record).slice(1)}\n`
const write = (record: AuditRecord, afterMs: number) => appendFileSync(path, lineOf(record, new Date(beganMs + afterMs)))
/** As the keeper writes: other order of fields, and kinds of its own. */
const keeper = (kind: string, fields: object, afterMs: number, sandbox = id) =>
  appendFileSync(path, `${JSON.stringify({ ...fields, kind, sandbox, ts: new Date(beganMs + afterMs).toISOString() })}\n`)
const command = (text: string, afterMs: number, sandbox = id) =>
  write({ kind: 'command', sandbox, command: text, args: ['-x'], user: 'user', cwd: '/tmp' }, afterMs)

async function logs(query = ''): Promise<{ timestamp: string; message: string; level: string; fields: Record<string, string> }[]> {
  const { status, body } = await alice.ask('GET', `/v2/sandboxes/${id}/logs?${query}`)
  expect(status).toBe(200)
  return body.logs
}
const messages = async (query = '') => (await logs(query)).map(({ message }) => message)

describe('logs', () => {
  test('tell what the audit log says of this sandbox and no other, and nothing of the machine', async () => {
    write(
      {
        kind: 'create',
        sandbox: id,
        profile: 'e2b',
        template: 'base',
        wall: 'container',
        sha256: { profile: '', policy: null },
        metadata: {},
        plan: { dir: '/secret' },
      },
      0,
    )
    command('echo', 1)
    command('other', 2, 'iother')
    command(`about ${id}`, 3, 'iother')
    keeper('exec', { argv: ['/bin/echo', '-x'], path: '/bin/echo', pid: 7, truncated: false }, 4)
    write({ kind: 'run', sandbox: id, context: 'c1', language: 'python', code: '1+1', codeBytes: 3 }, 5)
    keeper('limit', { reason: 'memory', detail: 'over 512 MiB' }, 6)
    keeper('unheard-of', { secret: 'x' }, 7)
    keeper('death', { reason: 'memory', detail: 'it was full', cpuUs: 5 }, 8)
    const entries = await logs()
    expect(entries.map(({ message, level, fields }) => [level, message, fields['kind']])).toEqual([
      ['info', 'created from base (profile e2b)', 'create'],
      ['info', 'echo -x', 'command'],
      ['debug', '/bin/echo -x', 'exec'],
      ['info', 'ran 3 bytes of python', 'run'],
      ['warn', 'limit hit: memory (over 512 MiB)', 'limit'],
      ['warn', 'ended: memory (it was full)', 'death'],
    ])
    expect(JSON.stringify(entries)).not.toContain('secret')
    expect(entries[2]?.fields).toEqual({ kind: 'exec', path: '/bin/echo', pid: '7' })
    expect(entries[1]?.timestamp).toBe(new Date(beganMs + 1).toISOString())
    const old = await alice.ask('GET', `/sandboxes/${id}/logs`)
    expect(old.body.logEntries).toEqual(entries)
    expect(old.body.logs[1]).toEqual({ timestamp: entries[1]?.timestamp, line: 'echo -x' })
  })

  test('are walked by their time, both ways, each once', async () => {
    for (let index = 0; index < 25; index += 1) command(`c${index}`, index * 10)
    const whole = await messages()
    expect(whole).toHaveLength(25)
    expect(await messages('direction=backward')).toEqual([...whole].reverse())
    for (const direction of ['forward', 'backward']) {
      const walked: string[] = []
      for (let cursor: number | undefined, more = true; more; ) {
        const page = await logs(`direction=${direction}&limit=4${cursor === undefined ? '' : `&cursor=${cursor}`}`)
        walked.push(...page.map(({ message }) => message))
        more = page.length === 4
        cursor = Date.parse(page.at(-1)?.timestamp ?? '') + (direction === 'forward' ? 1 : -1)
      }
      expect(walked).toEqual(direction === 'forward' ? whole : [...whole].reverse())
    }
  })

  test('are chosen by level and by words', async () => {
    command('find the needle', 1)
    command('nothing', 2)
    keeper('exec', { argv: ['needle'], path: '/needle', pid: 1 }, 3)
    keeper('limit', { reason: 'pids', detail: '' }, 4)
    expect(await messages('search=needle')).toEqual(['find the needle -x', 'needle'])
    expect(await messages('search=Needle')).toEqual([])
    expect(await messages('level=info&search=needle')).toEqual(['find the needle -x'])
    expect(await messages('level=warn')).toEqual(['limit hit: pids ()'])
    expect(await messages('limit=0')).toEqual([])
  })

  test('of one that is gone are still told, of another’s are not', async () => {
    command('echo', 1)
    await alice.ask('DELETE', `/sandboxes/${id}`)
    expect(await messages()).toEqual(['echo -x'])
    expect(await bob.ask('GET', `/v2/sandboxes/${id}/logs`)).toMatchObject({ status: 404 })
    expect(await bob.ask('GET', `/sandboxes/${id}/logs`)).toMatchObject({ status: 404 })
  })

  test.each(['limit=1001', 'limit=-1', 'direction=up', 'level=loud', 'cursor=now', 'colour=red', `search=${'x'.repeat(257)}`])(
    '?%s is refused',
    async (query) => {
      expect(await alice.ask('GET', `/v2/sandboxes/${id}/logs?${query}`)).toMatchObject({ status: 400 })
    },
  )
})

describe('the audit log itself', () => {
  test('is for operators, whole or of one sandbox', async () => {
    command('one', 1)
    command('two', 2, 'iother')
    expect(await alice.ask('GET', '/caisson/v1/audit')).toMatchObject({ status: 403, body: { code: 403 } })
    const read = async (query: string) =>
      (await operator.text('GET', `/caisson/v1/audit?${query}`)).split('\n').filter((line) => line !== '')
    expect((await read('')).map((line) => JSON.parse(line).command)).toEqual(['one', 'two'])
    expect((await read('sandbox=iother')).map((line) => JSON.parse(line).command)).toEqual(['two'])
    expect(await operator.ask('GET', '/caisson/v1/audit?sandbox=*')).toMatchObject({ status: 400 })
  })

  test('is followed as it grows, until the reader leaves', async () => {
    command('before', 1)
    const lines = operator.lines('/caisson/v1/audit?follow=true')
    expect(await lines.next()).toMatchObject({ value: { command: 'before' } })
    const line = lineOf({ kind: 'command', sandbox: id, command: 'after', args: [], user: '', cwd: '' }, new Date())
    appendFileSync(path, line.slice(0, 20))
    const next = lines.next()
    appendFileSync(path, line.slice(20))
    expect(await next).toMatchObject({ value: { command: 'after' } })
    await lines.return(undefined)
  })
})
