import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SpecDaemon } from './daemon.ts'
import { EnvdSandbox } from './envd-sandbox.ts'

let daemon: SpecDaemon
let sandbox: EnvdSandbox
let other: EnvdSandbox
beforeAll(async () => {
  daemon = await SpecDaemon.open()
  sandbox = await EnvdSandbox.on(daemon)
  other = await EnvdSandbox.on(daemon)
})
afterAll(() => daemon[Symbol.asyncDispose]())

interface Signed {
  path: string
  operation?: 'read' | 'write'
  user?: string
  token?: string
  expiration?: number
}

function sign({ path, operation = 'read', user = '', token = sandbox.token, expiration }: Signed): string {
  const raw = [path, operation, user, token, ...(expiration === undefined ? [] : [expiration])].join(':')
  return `v1_${createHash('sha256').update(raw).digest('base64').replace(/=+$/, '')}`
}

function link(signed: Signed): string {
  const query = new URLSearchParams({ path: signed.path, signature: sign(signed) })
  if (signed.user !== undefined) query.set('username', signed.user)
  if (signed.expiration !== undefined) query.set('signature_expiration', String(signed.expiration))
  return `/files?${query}`
}

const soon = () => Math.floor(Date.now() / 1000) + 60
/** Without any header: as a browser opens a link. */
const open = async (path: string, init: RequestInit = {}) => {
  const reply = await fetch(`${daemon.url}${path}`, init)
  return { status: reply.status, text: await reply.text() }
}

test('a signature is made as E2B makes it', () => {
  const known = { path: 'hello.txt', user: 'user', token: '0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0' }
  expect(sign(known)).toBe('v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E')
})

describe('the token', () => {
  test('is wanted by everything but health', async () => {
    const asked = async (path: string, init: RequestInit = {}) => {
      const headers = { ...sandbox.address, ...(init.headers as Record<string, string>) }
      return (await fetch(`${daemon.url}${path}`, { ...init, headers })).status
    }
    expect(await asked('/health')).toBe(204)
    const json = { 'content-type': 'application/json' }
    for (const wrong of [{}, { 'x-access-token': '' }, { 'x-access-token': 'wrong' }, { 'x-access-token': other.token }]) {
      for (const path of ['/metrics', '/envs', '/files?path=x']) expect(await asked(path, { headers: wrong }), path).toBe(401)
      expect(await asked('/files?path=x', { method: 'POST', body: 'x', headers: wrong })).toBe(401)
      const list = { method: 'POST', body: '{}', headers: { ...json, ...wrong } }
      expect(await asked('/process.Process/List', list)).toBe(401)
      expect(await asked('/filesystem.Filesystem/Stat', list)).toBe(401)
      expect(await asked('/files/compose', list)).toBe(401)
    }
  })

  test('a stream without it ends with an error, as streams do', async () => {
    const events = sandbox.stream('process.Process/Start', { process: { cmd: 'true' } }, { 'x-access-token': 'wrong' })
    expect((await events.next()).value).toMatchObject({ flags: 2, json: { error: { code: 'unauthenticated' } } })
  })

  test('routes for whoever made the sandbox are not there', async () => {
    for (const path of ['/init', '/freeze', '/unfreeze', '/collapse', '/fsfreeze', '/fsthaw', '/upgrade', '/nope']) {
      const reply = await sandbox.fetch(path, { method: 'POST' })
      expect([reply.status, (await reply.json()) as unknown]).toMatchObject([404, { code: 404 }])
    }
  })
})

describe('signed links', () => {
  test('lead to the sandbox whose token made them, without naming it', async () => {
    for (const [where, text] of [
      [sandbox, 'one'],
      [other, 'other'],
    ] as const) {
      const written = await open(link({ path: 'signed.txt', operation: 'write', token: where.token }), {
        method: 'POST',
        headers: { 'content-type': 'application/octet-stream' },
        body: text,
      })
      expect(written.status).toBe(200)
      expect(await open(link({ path: 'signed.txt', token: where.token }))).toEqual({ status: 200, text })
    }
    expect(await open(link({ path: 'signed.txt', user: 'user', expiration: soon() }))).toEqual({ status: 200, text: 'one' })
    expect(await open(link({ path: '/root/none', user: 'root' }))).toMatchObject({ status: 404 })
  })

  test('are good for one path, one user, one way, and until they expire', async () => {
    const good = link({ path: 'signed.txt', expiration: soon() })
    expect((await open(good)).status).toBe(200)
    const invalid = { status: 401, text: '{"code":401,"message":"invalid signature"}' }
    expect(await open(good.replace('signed.txt', 'other.txt'))).toEqual(invalid)
    expect(await open(good.replace('signed.txt', './signed.txt'))).toEqual(invalid)
    expect(await open(`${good}&username=root`)).toEqual(invalid)
    expect(await open(good.replace(/expiration=\d+/, `expiration=${soon() + 9999}`))).toEqual(invalid)
    expect(await open(good, { method: 'POST', body: 'x' })).toEqual(invalid)
    expect(await open(link({ path: 'signed.txt', token: 'guessed' }))).toEqual(invalid)
    const expired = { status: 401, text: '{"code":401,"message":"signature is already expired"}' }
    expect(await open(link({ path: 'signed.txt', expiration: soon() - 120 }))).toEqual(expired)
    expect(await open(link({ path: 'signed.txt', user: 'root', expiration: -10 }))).toEqual(expired)
  })

  test('count also where the sandbox is named, and a wrong token is not helped by them', async () => {
    const path = link({ path: 'signed.txt' })
    expect((await fetch(`${daemon.url}${path}`, { headers: sandbox.address })).status).toBe(200)
    const elsewhere = await fetch(`${daemon.url}${path}`, { headers: other.address })
    expect([elsewhere.status, await elsewhere.json()]).toEqual([401, { code: 401, message: 'invalid signature' }])
    const wrong = await fetch(`${daemon.url}${path}`, { headers: { ...sandbox.address, 'x-access-token': 'wrong' } })
    expect(wrong.status).toBe(401)
    const missing = await fetch(`${daemon.url}/files?path=signed.txt`, { headers: sandbox.address })
    expect(await missing.json()).toEqual({ code: 401, message: 'missing signature query parameter' })
    const reply = await fetch(`${daemon.url}${path}&signature_expiration=tomorrow`, { headers: sandbox.address })
    expect(reply.status).toBe(400)
  })
})
