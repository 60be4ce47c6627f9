import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { StoredReplays } from '../../host/api/stored-replays.ts'
import { SqliteStore } from '../../host/store/sqlite.ts'
import { SpecDaemon } from '../api/daemon.ts'

// A client that did not hear the answer asks again, and gets what it was given, also of a daemon that was started meanwhile.

const KEY = { 'idempotency-key': 'once-and-no-more' }

test('the same key is the same sandbox after the daemon was killed, and another request with it is refused', async () => {
  const first = await SpecDaemon.open()
  const ask = async (daemon: SpecDaemon, body: object) =>
    daemon.fetch('/v2/sandboxes', { method: 'POST', body: JSON.stringify(body), headers: KEY })
  const made = await ask(first, { templateID: 'base', timeout: 120 })
  expect(made.status).toBe(201)
  const { sandboxID } = (await made.json()) as { sandboxID: string }
  await first.stop('SIGKILL')
  await using second = await first.again()
  const again = await ask(second, { templateID: 'base', timeout: 120 })
  expect([again.status, ((await again.json()) as { sandboxID: string }).sandboxID]).toEqual([201, sandboxID])
  expect((await ask(second, { templateID: 'base', timeout: 60 })).status).toBe(409)
  await second.fetch(`/sandboxes/${sandboxID}`, { method: 'DELETE' })
  expect((await ask(second, { templateID: 'base', timeout: 120 })).status).toBe(409)
})

test('a day of them is kept, and no more than ten thousand of one owner, whatever another has', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cai-replays-'))
  vi.useFakeTimers({ toFake: ['Date'] })
  try {
    let made = 0
    const create = async () => `i${++made}`
    {
      await using store = SqliteStore.open(join(folder, 'db'))
      const replays = await StoredReplays.open(store)
      expect(await replays.once('bob', 'first', {}, create)).toBe('i1')
      for (let n = 0; n < 10_010; n += 1) await replays.once('ada', `k${n}`, {}, create)
      await expect(replays.once('ada', 'failing', {}, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
      expect(await store.all('replay')).toHaveLength(10_001)
    }
    await using store = SqliteStore.open(join(folder, 'db'))
    const replays = await StoredReplays.open(store)
    expect(await replays.once('ada', 'k10009', {}, create)).toBe('i10011')
    expect(await replays.once('bob', 'first', {}, create)).toBe('i1')
    expect(await replays.once('bob', 'k10009', {}, create)).toBe('i10012')
    expect(await replays.once('ada', 'k0', {}, create)).toBe('i10013')
    vi.advanceTimersByTime(25 * 3_600_000)
    expect(await replays.once('ada', 'k10009', {}, create)).toBe('i10014')
    expect(await store.all('replay')).toHaveLength(1)
  } finally {
    vi.useRealTimers()
    await rm(folder, { recursive: true, force: true })
  }
})
