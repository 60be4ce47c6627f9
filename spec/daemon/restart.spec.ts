import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { SqliteStore } from '../../host/store/sqlite.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { SmallDisk } from '../walls/small-disk.ts'
import { Traces } from '../walls/traces.ts'
import { Guest } from './guest.ts'

test('killed, a daemon ends no sandbox; the next one goes on where it was', async () => {
  const first = await SpecDaemon.open()
  const guest = await Guest.create(first, { templateID: 'code-interpreter-v1', envVars: { MARK: 'own' }, metadata: { a: 'b' } })
  await guest.code('kept = 41')
  await guest.run('(while :; do date +%s%N > /tmp/next; mv /tmp/next /tmp/now; sleep 0.05; done) > /dev/null 2>&1 & echo $! > /tmp/pid')
  const paused = await Guest.create(first)
  await paused.run('echo frozen > /tmp/file')
  await paused.ask('POST', '/pause', {})
  const stopped = await Guest.create(first)
  await stopped.run('echo stopped > /home/user/file')
  await stopped.ask('POST', '/pause', { memory: false })
  const before = await guest.info()
  await first.stop('SIGKILL')

  await using second = await first.again()
  expect(second.key).toBe(first.key)
  const again = guest.at(second)
  // Its hosts are where the daemon is now.
  const moved = ({ domain, ...told }: Record<string, unknown>, { url }: SpecDaemon) => ({
    ...told,
    isThere: domain === url.replace('http://127.0.0.1', 'localhost'),
  })
  expect(moved(await again.info(), second)).toEqual(moved(before, first))
  expect(moved(before, first)).toMatchObject({ isThere: true })
  expect(await again.code('kept + 1')).toBe('42')
  expect(await again.code('import os; os.environ["MARK"]')).toBe('own')
  expect(await again.run('a=$(cat /tmp/now); while [ "$(cat /tmp/now)" = "$a" ]; do sleep 0.05; done; echo goes on')).toBe('goes on\n')
  for (const [one, file] of [
    [paused, 'cat /tmp/file'],
    [stopped, 'cat /home/user/file'],
  ] as const) {
    expect((await one.at(second).info()).state).toBe('paused')
    expect((await one.at(second).ask('POST', '/connect', { timeout: 60 })).status).toBe(201)
    expect(await one.at(second).run(file)).toBe(one === paused ? 'frozen\n' : 'stopped\n')
  }
})

test('what was over meanwhile is over: deadlines are carried out without a daemon', async () => {
  const first = await SpecDaemon.open()
  const doomed = await Guest.create(first)
  const sleeper = await Guest.create(first, { autoPause: true })
  await sleeper.run('echo kept > /tmp/file')
  const dora = await withQuota(first, 'dora')
  const traces = new Traces(first.home, doomed.id)
  await traces.find()
  // Time enough to kill the daemon first, however busy the machine is.
  for (const guest of [sleeper, doomed]) expect((await guest.ask('POST', '/timeout', { timeout: 2 })).status).toBe(204)
  await first.stop('SIGKILL')
  const left = async () => [...(await traces.find()).keys()].filter((kind) => kind !== 'state')
  await expect.poll(left, { timeout: 60_000 }).toEqual([])
  await using second = await first.again()
  expect((await doomed.at(second).ask('GET', '')).status).toBe(404)
  expect(await doomed.at(second).health()).toBe(502)
  expect((await sleeper.at(second).info()).state).toBe('paused')
  expect((await sleeper.at(second).ask('POST', '/connect', { timeout: 60 })).status).toBe(201)
  expect(await sleeper.at(second).run('cat /tmp/file')).toBe('kept\n')
  // Traffic says no key: what its owner may have is known from before.
  expect(await dora.asleep.at(second).health()).toBe(429)
  expect((await dora.awake.at(second).ask('DELETE', '')).status).toBe(204)
  expect(await dora.asleep.at(second).health()).toBe(204)
})

test('a sandbox that died with its keeper is gone, and what it left is removed', async () => {
  const first = await SpecDaemon.open()
  const guest = await Guest.create(first)
  const pid = Number(await keeperOf(first, guest))
  const frozen = await Guest.create(first)
  await frozen.run('echo kept > /home/user/file; sync')
  await frozen.ask('POST', '/pause', {})
  const frozenPid = Number(await keeperOf(first, frozen))
  await first.stop('SIGKILL')
  process.kill(pid, 'SIGKILL')
  process.kill(frozenPid, 'SIGKILL')
  await using second = await first.again()
  expect((await guest.at(second).ask('GET', '')).status).toBe(404)
  expect(existsSync(join(second.home, 'sandboxes', guest.id))).toBe(false)
  // One that was paused has its files still.
  expect((await frozen.at(second).info()).state).toBe('paused')
  expect((await frozen.at(second).ask('POST', '/connect', { timeout: 60 })).status).toBe(201)
  expect(await frozen.at(second).run('cat /home/user/file')).toBe('kept\n')
})

test('a sandbox whose keeper stands still is ended by force, whoever started it', { timeout: 180_000 }, async () => {
  const first = await SpecDaemon.open()
  const adopted = await Guest.create(first)
  const pids = [Number(await keeperOf(first, adopted))]
  await first.stop('SIGKILL')
  await using second = await first.again()
  const started = await Guest.create(second)
  const bereft = await Guest.create(second)
  for (const guest of [started, bereft]) pids.push(Number(await keeperOf(second, guest)))
  const traces = [adopted, started, bereft].map(({ id }) => new Traces(second.home, id))
  for (const one of traces) await one.find()
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  try {
    // Its first process is gone, and nobody asks that it be ended.
    const waiting = bereft.run('sleep 600').catch((failure: unknown) => failure)
    process.kill(await firstOf(pids[2] as number), 'SIGKILL')
    const answers = await Promise.all([adopted.at(second), started].map((guest) => guest.ask('DELETE', '')))
    expect(answers.map(({ status }) => status)).toEqual([204, 204])
    expect(await waiting).toMatchObject({ cause: { code: 'ECONNRESET' } })
    expect((await bereft.ask('GET', '')).status).toBe(404)
    // The lock of its ids is free again; the file of it stays.
    for (const one of traces) expect([...(await one.find()).keys()].filter((kind) => kind !== 'ids')).toEqual([])
  } finally {
    for (const pid of pids) if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL')
  }
})

test('a sandbox that nobody was told of is ended, and what is left of others is cleared away', async () => {
  const first = await SpecDaemon.open()
  const guest = await Guest.create(first)
  await first.stop('SIGKILL')
  {
    await using store = SqliteStore.open(join(first.home, 'caisson.db'))
    await store.remove('sandbox', guest.id)
  }
  await writeFile(join(first.home, 'kept', 'inobodyknows.img'), '')
  await using second = await first.again()
  expect((await guest.at(second).ask('GET', '')).status).toBe(404)
  // Beside its work: its port is open at once.
  for (let look = 0; look < 200 && (await readdir(join(second.home, 'sandboxes'))).length > 0; look += 1) await pause(50)
  expect(await readdir(join(second.home, 'sandboxes'))).toEqual([])
  expect(await readdir(join(second.home, 'kept'))).toEqual([])
})

test('two daemons on one state folder: the second says so; asked politely, one lets its sandboxes live', async () => {
  const first = await SpecDaemon.open()
  const guest = await Guest.create(first)
  await expect(first.again()).rejects.toMatchObject({ code: 'DAEMON_RUNNING' })
  expect(await guest.run('echo alive')).toBe('alive\n')
  await first.stop('SIGTERM')
  expect(existsSync(join(first.home, 'daemon.json'))).toBe(false)
  await using second = await first.again()
  expect(await guest.at(second).run('echo alive')).toBe('alive\n')
})

test('a port that is taken, a state folder that cannot be written, and a database that is damaged, are said plainly', async () => {
  await using first = await SpecDaemon.open()
  await expect(SpecDaemon.open({ port: Number(new URL(first.url).port) })).rejects.toMatchObject({ code: 'ADDRESS_UNUSABLE' })
  // What is there belongs to the kernel, which lets nobody make a folder there.
  await expect(SpecDaemon.open({ home: '/proc/caisson' })).rejects.toMatchObject({ code: 'HOME_UNUSABLE' })
  const other = await SpecDaemon.open()
  await other.stop()
  await writeFile(
    join(other.home, 'caisson.db'),
    'this is no database, though it is long enough to be one, as far as its length is concerned',
  )
  await expect(other.again()).rejects.toMatchObject({ code: 'STORE_UNUSABLE' })
  await other[Symbol.asyncDispose]()
})

test('a full disk is said, loses nothing, and is over when there is room', async () => {
  const place = await mkdtemp(join(tmpdir(), 'cai-disk-'))
  await using _ = { [Symbol.asyncDispose]: () => rm(place, { recursive: true }) }
  using disk = new SmallDisk(place, 64 * 1024)
  await using daemon = await SpecDaemon.open({ home: join(disk.path, 'home') })
  const ask = async (path: string, body: object) => {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
    const response = await daemon.fetch(path, init)
    return { status: response.status, retry: response.headers.get('retry-after'), body: await response.json() }
  }
  const overloaded = { error_code: 'overloaded', message: expect.stringMatching(/^only \d+ MiB are left on the disk of /) }
  expect(await ask('/v2/sandboxes', { templateID: 'base' })).toMatchObject({ status: 503, retry: '2', body: overloaded })
  expect(await ask('/caisson/v1/keys', { owner: 'alice' })).toMatchObject({ status: 201 })
  disk.fill()
  expect(await ask('/caisson/v1/keys', { owner: 'bob' })).toMatchObject({ status: 500, body: { error_code: 'store_unusable' } })
  disk.free()
  expect(await ask('/caisson/v1/keys', { owner: 'carol' })).toMatchObject({ status: 201 })
  await daemon.stop('SIGKILL')
  await using next = await daemon.again()
  const known = (await (await next.fetch('/caisson/v1/keys')).json()) as { owner: string }[]
  expect(known.map(({ owner }) => owner)).toEqual(['operator', 'alice', 'carol'])
})

/** The pid of the process that answers on its keeper's socket: the parent of its first process, as the host numbers them. */
async function keeperOf(daemon: SpecDaemon, guest: Guest): Promise<string> {
  const { execFileSync } = await import('node:child_process')
  const found = execFileSync('ss', ['-xlpH', 'src', join(daemon.home, 'sandboxes', guest.id, 'keeper.sock')], { encoding: 'utf8' })
  return /pid=(\d+)/.exec(found)?.[1] ?? ''
}

/** The first process of its sandbox, as the host numbers it. */
async function firstOf(keeper: number): Promise<number> {
  const children = (await readFile(`/proc/${keeper}/task/${keeper}/children`, 'utf8')).trim().split(' ')
  for (const pid of children) if (/^NSpid:.*\t1$/m.test(await readFile(`/proc/${pid}/status`, 'utf8'))) return Number(pid)
  throw new Error(`keeper ${keeper} has no first process`)
}

/** Two sandboxes of an owner who may have one that runs. */
async function withQuota(daemon: SpecDaemon, owner: string): Promise<{ asleep: Guest; awake: Guest }> {
  const body = JSON.stringify({ owner, quotas: { cpus: 2 } })
  const { key } = (await (await daemon.fetch('/caisson/v1/keys', { method: 'POST', body })).json()) as { key: string }
  const asleep = await Guest.create(daemon, { autoPause: true, autoResume: { enabled: true } }, key)
  await asleep.ask('POST', '/pause', {})
  return { asleep, awake: await Guest.create(daemon, {}, key) }
}
