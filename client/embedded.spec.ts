import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { acquireDaemon, acquireDoor } from './embedded.ts'
import { FakeDaemon, json, unaborted } from './remote/fake-daemon.ts'
import { RemoteDoor } from './remote/remote-door.ts'

let home = ''
let daemon: FakeDaemon
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cai-'))
  daemon = await FakeDaemon.open({
    'GET /health': ({ reply }) => void reply.writeHead(204).end(),
    'GET /v2/sandboxes': ({ reply }) => json(reply, 200, []),
  })
  vi.stubEnv('CAISSON_HOME', home)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await daemon[Symbol.asyncDispose]()
  await rm(home, { recursive: true, force: true })
})

/** What a daemon of this machine leaves in its state folder. */
async function said(about: object = {}, key = 'e2b_local\n'): Promise<void> {
  await writeFile(join(home, 'daemon.json'), JSON.stringify({ url: daemon.url, pid: process.pid, startedMs: 1, ...about }))
  await writeFile(join(home, 'key'), key)
}
async function deadPid(): Promise<number> {
  const child = spawn('true')
  await once(child, 'close')
  return child.pid ?? 0
}
const nobody = (signal = unaborted()) => acquireDaemon('this', signal)
const UNSUPPORTED = { code: 'UNSUPPORTED', message: expect.stringContaining('this needs a daemon') }

test('the daemon of CAISSON_URL, with its key, whatever this machine has', async () => {
  await said({ url: 'http://127.0.0.1:1' })
  vi.stubEnv('CAISSON_URL', daemon.url)
  vi.stubEnv('CAISSON_API_KEY', 'e2b_named')
  const { door } = await acquireDoor(unaborted())
  if (!(door instanceof RemoteDoor)) throw new Error('not a daemon')
  expect(await door.list({}, unaborted()).next()).toMatchObject({ done: true })
  expect(daemon.asked.at(-1)?.headers['x-api-key']).toBe('e2b_named')
  expect((await acquireDoor(unaborted())).door).toBe(door)
})

test('one that was asked for and does not answer is an error', async () => {
  vi.stubEnv('CAISSON_URL', 'http://127.0.0.1:1')
  const { door } = await acquireDoor(unaborted())
  await expect(door.create({}, unaborted())).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
})

test('the daemon of this machine, with the key beside it; asked once whether it is there', async () => {
  await said()
  const found = await nobody()
  expect(await found.list({}, unaborted()).next()).toMatchObject({ done: true })
  expect(daemon.asked.at(-1)?.headers['x-api-key']).toBe('e2b_local')
  expect(await nobody()).toBe(found)
  expect(daemon.of('GET /health')).toHaveLength(1)
})

test('what a daemon that is gone has left is no daemon', async () => {
  await expect(nobody()).rejects.toMatchObject(UNSUPPORTED)
  await said({ pid: await deadPid() })
  await expect(nobody()).rejects.toMatchObject(UNSUPPORTED)
  await said()
  await daemon.die()
  await expect(nobody()).rejects.toMatchObject(UNSUPPORTED)
  await rm(join(home, 'key'))
  await expect(nobody()).rejects.toMatchObject(UNSUPPORTED)
})

test('one that is there and not well is not passed over', async () => {
  await said()
  daemon.script['GET /health'] = ({ reply }) => json(reply, 500, {})
  await expect(nobody()).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
  daemon.script['GET /health'] = () => undefined
  const abort = new AbortController()
  setTimeout(() => abort.abort(), 50)
  await expect(nobody(abort.signal)).rejects.toMatchObject({ code: 'CANCELLED' })
})

test.each(['', '{', '[]', '{"url":1}', '{"url":"http://x","pid":-1,"startedMs":1}'])('a file that says %j is named', async (content) => {
  await said()
  await writeFile(join(home, 'daemon.json'), content)
  await expect(nobody()).rejects.toMatchObject({ code: 'HOME_UNUSABLE', message: expect.stringContaining('daemon.json') })
})
