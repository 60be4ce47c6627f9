import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SpecDaemon } from '../api/daemon.ts'
import { onWall } from '../walls/every-wall.ts'
import { Guest } from './guest.ts'

let daemon: SpecDaemon
beforeAll(async () => {
  daemon = await SpecDaemon.open({ env: { CAISSON_FROZEN_GRACE_MS: '600000' } })
})
afterAll(async () => {
  await daemon[Symbol.asyncDispose]()
})

/** Until `what` holds; the answer of the last look. */
async function until<T>(what: () => Promise<T>, holds: (answer: T) => boolean, milliseconds = 10_000): Promise<T> {
  let answer = await what()
  for (const end = Date.now() + milliseconds; !holds(answer) && Date.now() < end; answer = await what()) await pause(50)
  return answer
}

test('its time ends it, and then there is nothing there', async () => {
  const guest = await Guest.create(daemon, { timeout: 2 })
  expect(await guest.health()).toBe(204)
  expect(
    await until(
      () => guest.health(),
      (status) => status === 502,
    ),
  ).toBe(502)
  expect((await guest.ask('GET', '')).status).toBe(404)
  expect(await (await daemon.fetch(`/caisson/v1/sandboxes/${guest.id}`)).json()).toMatchObject({ state: 'gone' })
  await until(
    async () => existsSync(join(daemon.home, 'sandboxes', guest.id)),
    (there) => !there,
  )
  expect(existsSync(join(daemon.home, 'sandboxes', guest.id))).toBe(false)
})

test('its time can be moved both ways; connecting only ever adds', async () => {
  const guest = await Guest.create(daemon, { timeout: 2 })
  expect((await guest.ask('POST', '/timeout', { timeout: 60 })).status).toBe(204)
  const { endAt } = await guest.info()
  expect((await guest.ask('POST', '/connect', { timeout: 5 })).status).toBe(200)
  expect((await guest.info()).endAt).toBe(endAt)
  await pause(2500)
  expect(await guest.run('echo alive')).toBe('alive\n')
  expect((await guest.ask('POST', '/timeout', { timeout: 0 })).status).toBe(204)
  expect(await guest.health()).toBe(502)
})

test('paused, it is not there; resumed, its processes go on where they were', async () => {
  const guest = await Guest.create(daemon, { templateID: 'code-interpreter-v1' })
  await guest.code('kept = 41')
  await guest.run('(i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.05; done) > /dev/null 2>&1 & echo $! > /tmp/pid')
  expect((await guest.ask('POST', '/pause', {})).status).toBe(204)
  expect(await guest.health()).toBe(502)
  expect((await guest.ask('POST', '/pause', {})).status).toBe(409)
  expect(await guest.info()).toMatchObject({ state: 'paused' })
  await expect(guest.code('1')).rejects.toThrow(/502/)
  expect((await guest.ask('POST', '/connect', { timeout: 60 })).status).toBe(201)
  expect(await guest.health()).toBe(204)
  expect(await guest.code('kept + 1')).toBe('42')
  const before = Number(await guest.run('cat /tmp/count'))
  expect(
    await until(
      async () => Number(await guest.run('cat /tmp/count')),
      (count) => count > before,
    ),
  ).toBeGreaterThan(before)
  expect(await guest.run('kill $(cat /tmp/pid) && echo gone')).toBe('gone\n')
})

test('paused with its files only, it boots anew over them', async () => {
  const guest = await Guest.create(daemon, { envVars: { MARK: 'own' } })
  await guest.run('echo kept > /home/user/file; sleep 1000 & cat /proc/sys/kernel/random/boot_id > /home/user/boot')
  expect((await guest.ask('POST', '/pause', { memory: false })).status).toBe(204)
  expect(await guest.health()).toBe(502)
  expect((await guest.ask('POST', '/connect', { timeout: 60 })).status).toBe(201)
  expect(await guest.run('cat /home/user/file; echo $MARK; stat -c %U /home/user/file')).toBe('kept\nown\nuser\n')
  expect(await guest.run('cmp -s /proc/sys/kernel/random/boot_id /home/user/boot && echo same || echo new')).toBe('new\n')
  expect(await guest.run('pgrep -c sleep || true')).toBe('0\n')
  // Once more: it can be paused and booted as often as one likes.
  expect((await guest.ask('POST', '/pause', { memory: false })).status).toBe(204)
  expect((await guest.ask('POST', '/connect', { timeout: 60 })).status).toBe(201)
  expect(await guest.run('cat /home/user/file')).toBe('kept\n')
})

test('auto-pause freezes it when its time is over; traffic wakes it where that is allowed', async () => {
  const sleeper = await Guest.create(daemon, { timeout: 2, autoPause: true })
  const waker = await Guest.create(daemon, { timeout: 2, autoPause: true, autoResume: { enabled: true } })
  await waker.run('echo kept > /tmp/file')
  expect(
    (
      await until(
        () => sleeper.info(),
        ({ state }) => state === 'paused',
      )
    ).state,
  ).toBe('paused')
  expect(
    (
      await until(
        () => waker.info(),
        ({ state }) => state === 'paused',
      )
    ).state,
  ).toBe('paused')
  expect(await sleeper.health()).toBe(502)
  expect(await waker.run('cat /tmp/file')).toBe('kept\n')
  expect((await waker.info()).state).toBe('running')
})

onWall('microvm', () => {
  test('paused by somebody at the very moment its time is over, it is paused, and can be resumed', async () => {
    const guest = await Guest.create(daemon, { timeout: 6, autoPause: true, metadata: { 'caisson.wall': 'microvm' } })
    await guest.run('echo kept > /home/user/file')
    // Its keeper has begun to freeze it, and has not said so yet.
    await pause(Math.max(0, Date.parse((await guest.info()).endAt) + 20 - Date.now()))
    await guest.ask('POST', '/pause', {})
    const { state } = await until(
      () => guest.info(),
      (info) => info.state === 'paused',
    )
    expect(state).toBe('paused')
    expect((await guest.ask('POST', '/connect', { timeout: 60 })).status).toBe(201)
    expect(await guest.run('cat /home/user/file')).toBe('kept\n')
  })
})

test('a fork has the files of its origin, and nothing else of it', async () => {
  const guest = await Guest.create(daemon)
  await guest.run('echo origin > /home/user/file; sleep 1000 &')
  const response = await guest.ask('POST', '/fork', { count: 3, timeout: 60 })
  expect(response.status).toBe(201)
  const forks = ((await response.json()) as { sandbox: { sandboxID: string; envdAccessToken: string } }[]).map(
    ({ sandbox }) => new Guest(daemon, sandbox),
  )
  expect(new Set([guest.token, ...forks.map(({ token }) => token)]).size).toBe(4)
  await Promise.all(forks.map((fork, index) => fork.run(`echo fork ${index} >> /home/user/file`)))
  expect(await Promise.all(forks.map((fork) => fork.run('cat /home/user/file')))).toEqual(
    [0, 1, 2].map((index) => `origin\nfork ${index}\n`),
  )
  expect(await guest.run('cat /home/user/file')).toBe('origin\n')
  expect(await forks[0]?.run('pgrep -c sleep || true')).toBe('0\n')
  const ids = await Promise.all([guest, ...forks].map((one) => one.run('cat /etc/machine-id /etc/hostname')))
  expect(new Set(ids).size).toBe(4)
  expect(await readdir(join(daemon.home, 'snapshots'))).toEqual([])
})

test('a snapshot outlives its sandbox, and can be created from by its name', async () => {
  const guest = await Guest.create(daemon)
  await guest.run('echo snapped > /home/user/file')
  const taken = (await (await guest.ask('POST', '/snapshots', { name: 'snapped' })).json()) as { snapshotID: string; names: string[] }
  expect(taken.names.some((name) => name.includes('snapped'))).toBe(true)
  expect(await guest.run('cat /home/user/file')).toBe('snapped\n')
  await guest.ask('DELETE', '')
  for (const templateID of [taken.snapshotID, taken.names[0]]) {
    const copy = await Guest.create(daemon, { templateID })
    expect(await copy.run('cat /home/user/file')).toBe('snapped\n')
  }
  const remove = () => daemon.fetch(`/templates/${encodeURIComponent(taken.snapshotID)}`, { method: 'DELETE' })
  expect((await remove()).status).toBe(204)
  expect((await remove()).status).toBe(404)
})

test('a copy that nobody waits for any more is a snapshot of its owner, and not a file that nobody knows', async () => {
  const guest = await Guest.create(daemon)
  await guest.run('head -c 300000000 /dev/zero | tr "\\0" x > /home/user/large; sync')
  const files = () => readdir(join(daemon.home, 'snapshots'))
  const gone = new AbortController()
  const headers = { 'x-api-key': daemon.key }
  const asked = fetch(`${daemon.url}/sandboxes/${guest.id}/snapshots`, { method: 'POST', body: '{}', headers, signal: gone.signal })
  asked.catch(() => undefined)
  const begun = await until(files, (names) => names.length > 0)
  expect(begun).toEqual([expect.stringMatching(/\.img\.partial$/)])
  gone.abort()
  await until(files, (names) => names.every((name) => !name.endsWith('.partial')))
  // Whatever is done to it next comes after that.
  expect((await guest.ask('DELETE', '')).status).toBe(204)
  const known = (await (await daemon.fetch('/snapshots')).json()) as { snapshotID: string }[]
  expect(known.map(({ snapshotID }) => `${snapshotID.split(':')[0]}.img`)).toEqual(await files())
  for (const { snapshotID } of known) await daemon.fetch(`/templates/${snapshotID}`, { method: 'DELETE' })
  expect(await files()).toEqual([])
})

test('who hangs on to a sandbox that goes is cut off, not left waiting', async () => {
  const guest = await Guest.create(daemon)
  const waiting = guest.run('sleep 1000')
  waiting.catch(() => undefined)
  await pause(500)
  expect((await guest.ask('DELETE', '')).status).toBe(204)
  await expect(waiting).rejects.toThrow()
  expect(await guest.health()).toBe(502)
  expect((await guest.ask('DELETE', '')).status).toBe(404)
})
