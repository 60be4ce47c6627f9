import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebReceiver } from '../audit/receivers.ts'
import { CommandLine } from './invoke.ts'

let line: CommandLine
let id: string
beforeAll(async () => {
  line = await CommandLine.open()
  await line.caisson(['secret', 'set', 'KEY_1'], { stdin: 'a-secret-of-some-length' })
  const net = ['--net', 'allow:allowed.invalid']
  const inner = 'getent hosts one.refused.invalid; getent hosts two.refused.invalid; ls /usr; exec cat /etc/hostname'
  await line.caisson(['run', '--template', 'base', ...net, '--', '/bin/sh', '-c', inner])
  id = (await entries('--kind', 'create'))[0]?.['sandbox'] ?? ''
})
afterAll(() => line[Symbol.asyncDispose]())

const audit = (...args: string[]) => line.caisson(['audit', ...args])
const entries = async (...args: string[]): Promise<Record<string, string>[]> =>
  (await audit('list', '--json', ...args)).stdout
    .split('\n')
    .slice(0, -1)
    .map((text) => JSON.parse(text))

test('is asked by sandbox, kind, command, host, time, and owner', async () => {
  expect(id).toMatch(/^e[a-z0-9]+$/)
  const kinds = (await entries('--sandbox', id)).map(({ kind }) => kind)
  expect(kinds).toEqual(expect.arrayContaining(['create', 'command', 'exec', 'death']))
  expect((await entries('--command', 'cat /etc/hostname', '--kind', 'exec')).map(({ path }) => path)).toContain('/usr/bin/cat')
  const named = async (host: string) => (await entries('--host', host)).map(({ name }) => name)
  expect(new Set(await named('refused.invalid'))).toEqual(new Set(['one.refused.invalid', 'two.refused.invalid']))
  expect(new Set(await named('two.refused'))).toEqual(new Set(['two.refused.invalid']))
  expect(await named('nobody-asked.invalid')).toEqual([])
  expect(await entries('--sandbox', id, '--since', '1h')).toHaveLength(kinds.length)
  expect(await entries('--until', '2020-01-01')).toEqual([])
  expect(await entries('--owner', 'operator')).toMatchObject([{ kind: 'act', act: 'secret.set', detail: { name: 'KEY_1' } }])
  expect(await entries('--last', '1')).toHaveLength(1)
  expect((await audit()).stdout).not.toContain('a-secret-of-some-length')
})

test('prints a record for a person in one line, and whole', async () => {
  const { stdout } = await audit('list', '--sandbox', id)
  expect(stdout).toMatch(new RegExp(`^ *\\d+ {2}\\S+Z {2}${id} {2}create {2}profile=default`, 'm'))
  const [{ seq = '' } = {}] = await entries('--sandbox', id)
  expect(JSON.parse((await audit('show', String(seq))).stdout)).toMatchObject({ kind: 'create', sandbox: id })
  expect(await audit('show', '999999')).toMatchObject({ exitCode: 125, stderr: expect.stringMatching(/NOT_FOUND.*999999/) })
})

test('says which profile and policy it was, whatever becomes of their files', async () => {
  const digest = /^[0-9a-f]{64}$/
  const own = join(line.home, 'profiles', 'own.json')
  const made = async (text: string, ...more: string[]) => {
    writeFileSync(own, text)
    await line.caisson(['run', '--template', 'base', '--profile', 'own', ...more, '--', '/bin/true'])
    const [{ sha256 } = {}] = (await entries('--kind', 'create', '--last', '1')) as unknown as {
      sha256?: { profile: string; policy: string }
    }[]
    return sha256
  }
  const one = await made('{ "extends": "default", "limits": { "pids": 64 } }')
  expect(one).toEqual({ profile: expect.stringMatching(digest), policy: null })
  expect(await made('{"limits":{"pids":64},\n"extends":"default"}')).toEqual(one)
  const other = await made('{ "extends": "default", "limits": { "pids": 65 } }', '--net', 'allow:a.invalid')
  expect(other).toEqual({ profile: expect.stringMatching(digest), policy: expect.stringMatching(digest) })
  expect(other?.profile).not.toBe(one?.profile)
})

test('is exported as events of OCSF, each with its class and the record whole', async () => {
  const data = join(line.work, 'data.csv')
  writeFileSync(data, 'n\n1\n')
  await line.caisson([
    'run',
    '--template',
    'base',
    '--in',
    data,
    '--out',
    join(line.work, 'out'),
    '--',
    '/bin/sh',
    '-c',
    'mkdir out; cp data.csv out',
  ])
  expect(readFileSync(join(line.work, 'out', 'data.csv'), 'utf8')).toBe('n\n1\n')
  const exported = async (...words: string[]) =>
    (await audit('export', '--format', 'ocsf', ...words)).stdout
      .split('\n')
      .slice(0, -1)
      .map((text) => JSON.parse(text))
  const events = await exported()
  for (const event of events) expect(event.type_uid).toBe(event.class_uid * 100 + event.activity_id)
  const ofSandbox = await exported('--sandbox', id)
  for (const event of ofSandbox) expect(event).toMatchObject({ device: { uid: id }, category_uid: Math.floor(event.class_uid / 1000) })
  const of = (kind: string, among = ofSandbox) => among.filter(({ message }) => message === kind)
  expect(of('create')).toMatchObject([{ class_uid: 6002, activity_id: 1, app: { uid: id }, unmapped: { profile: 'default' } }])
  expect(of('exec')[0]).toMatchObject({ class_uid: 1007, activity_id: 1, process: { pid: 1 } })
  expect(of('network')[0]).toMatchObject({ class_uid: 4003, activity_id: 1, status_id: 2, query: { hostname: 'one.refused.invalid' } })
  expect(of('death')).toMatchObject([{ class_uid: 6002, activity_id: 4 }])
  expect(of('act', events)[0]).toMatchObject({ class_uid: 3004, comment: 'secret.set', actor: { user: { name: 'operator' } } })
  const files = of('file', events).map(({ class_uid, activity_id, file }) => [class_uid, activity_id, file.path])
  expect(files).toContainEqual([1001, 3, '/home/user/data.csv'])
  expect(files).toContainEqual([1001, 2, '/home/user/out/data.csv'])
})

test('is verified, also with a key that was kept elsewhere; a change is named, and ends with 1', async () => {
  const key = join(line.work, 'elsewhere.pem')
  writeFileSync(key, (await audit('key')).stdout)
  const good = await audit('verify', '--key', key)
  expect(good).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Every record is what was written.') })
  const path = join(line.home, 'audit', 'audit.jsonl')
  const text = readFileSync(path, 'utf8')
  const row = text.split('\n').findIndex((one) => one.includes('"kind":"create"')) + 1
  writeFileSync(path, text.replace('"profile":"default"', '"profile":"defaulT"'))
  const bad = await audit('verify', '--json')
  writeFileSync(path, text)
  expect(bad.exitCode).toBe(1)
  expect(JSON.parse(bad.stdout).bad).toMatchObject({ file: 'audit.jsonl', line: row })
  writeFileSync(key, 'no key')
  expect((await audit('verify', '--key', key)).stderr).toMatch(/BAD_REQUEST.*elsewhere\.pem is no public key/)
})

test('what is no question is refused by name', async () => {
  for (const [words, said] of [
    [['rewrite'], 'caisson audit rewrite: no such command'],
    [['export', '--format', 'xml'], '--format: "xml" is no format. Give jsonl or ocsf.'],
    [['list', '--since', 'yesterday'], 'is no moment'],
    [['export', '--format', 'xml'], 'jsonl or ocsf'],
    [['show', 'first'], 'is no number of a record'],
    [['verify', '--folder', '/nowhere'], 'there is no audit log'],
  ] as const) {
    expect((await audit(...words)).stderr).toContain(said)
  }
  expect((await line.caisson(['audit'], { env: { CAISSON_URL: 'http://127.0.0.1:1' } })).stderr).toMatch(/UNSUPPORTED/)
})

test('no file of the state folder has secrets that were said on command lines, by the caller or by children', async () => {
  const token = `gh${'p_'}0123456789abcdefghijABCDEFGHIJ012345`
  const secrets = [
    'first-password',
    'second-password',
    'third-word',
    'fourth-token',
    'fifth-word',
    'sixth-word',
    'seventh-word',
    'eighth-word',
    token,
  ]
  const [first, second, third, fourth, fifth, sixth, seventh, eighth] = secrets
  const inner = [
    `/bin/true --password ${first}`,
    `/bin/true --token=${second}`,
    `/bin/true https://me:${third}@host/`,
    `/bin/true -H "Authorization: Bearer ${fourth}"`,
    `/bin/true DB_PASSWORD=${fifth}`,
    `/bin/true ${token}`,
    // The shell knows them, and its children's arguments have them: neither command line says what they are.
    `/usr/bin/env true "$DEPLOY_SECRET"`,
    `/bin/bash -c 'exec -a curl /bin/true -u me:${sixth}'`,
    `/bin/true "?api_key=${seventh}&x=1"`,
    '/bin/true a-secret-of-some-length',
  ].join('; ')
  const run = await line.caisson(['run', '--template', 'base', '--env', `DEPLOY_SECRET=${eighth}`, '--', '/bin/sh', '-c', inner])
  expect(run).toMatchObject({ exitCode: 0, stderr: '' })
  const asked = (await entries('--command', '[redacted]')).map(({ kind }) => kind)
  expect(asked).toContain('command')
  expect(asked.filter((kind) => kind === 'exec').length).toBeGreaterThanOrEqual(9)
  const words = [...secrets, 'a-secret-of-some-length'].flatMap((secret) => ['-e', secret])
  // Disks are as large as they may become.
  const search = (...more: string[]) => line.invoke('grep', ['-rlaF', ...words, ...more, line.home])
  expect(await search('--exclude-dir=secrets')).toMatchObject({ exitCode: 1, stdout: '' })
  expect((await search()).stdout.trim()).toBe(join(line.home, 'secrets', 'KEY_1'))
})

test('goes to the sinks of the daemon, whose standing it tells; while one that is required lags, nothing is created', async () => {
  await using web = await WebReceiver.open()
  const hook = { name: 'hook', kind: 'webhook', url: web.url, secret: 'KEY_1', required: true, lag: { records: 2000, seconds: 1 } }
  const sinks = (one: unknown) => writeFileSync(join(line.home, 'sinks.json'), JSON.stringify({ sinks: [one] }))
  const up = () => line.caisson(['up', '--port', '0', '--detach'])
  const run = () => line.caisson(['run', '--template', 'base', '--', '/bin/true'])
  sinks({ ...hook, url: 'http://127.0.0.1:1' })
  expect(await up()).toMatchObject({
    exitCode: 125,
    stderr: expect.stringMatching(/SINK_UNREACHABLE.*hook \(webhook, http:\/\/127\.0\.0\.1:1\)/),
  })
  sinks(hook)
  expect(await up()).toMatchObject({ exitCode: 0 })
  try {
    const { url } = JSON.parse(readFileSync(join(line.home, 'daemon.json'), 'utf8'))
    const headers = { 'x-api-key': readFileSync(join(line.home, 'key'), 'utf8').trim(), 'content-type': 'application/json' }
    const metrics = async () => await (await fetch(`${url}/metrics`, { headers })).text()
    const body = JSON.stringify({ target: 'base', tags: ['stable'] })
    expect((await fetch(`${url}/templates/tags`, { method: 'POST', headers, body })).status).toBe(201)
    const standing = async () => JSON.parse((await audit('sinks', '--json')).stdout)[0]
    await expect.poll(metrics, { timeout: 60_000 }).toMatch(/^caisson_audit_sink_lag\{sink="hook"\} 0$/m)
    expect(await run()).toMatchObject({ exitCode: 0 })
    expect(web.received.lines.join()).not.toContain('a-secret-of-some-length')

    // What is recorded waits; one that is made before a second has passed gets through.
    web.answer = () => 503
    await expect.poll(run, { timeout: 60_000 }).toMatchObject({ exitCode: 125, stderr: expect.stringMatching(/AUDIT_BEHIND.*hook/) })
    expect(await audit('sinks')).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/hook +webhook +yes .*answered with 503/) })
    web.answer = () => 200
    await expect.poll(run, { timeout: 60_000 }).toMatchObject({ exitCode: 0 })
    await expect.poll(standing, { timeout: 60_000 }).toMatchObject({ name: 'hook', failing: null })
  } finally {
    await line.caisson(['down'])
  }
  const recorded = await entries()
  expect(recorded.find(({ act }) => act === 'tag.assign')).toMatchObject({ by: 'operator', detail: { template: 'base', tags: 'stable' } })
  expect(recorded.find(({ act }) => act === 'audit.sinks')).toMatchObject({ detail: { hook: `webhook ${web.url}` } })
})
