import { chmod, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readSettings } from './settings.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'home-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('a new home is made for its owner alone, and the settings cannot be changed', async () => {
  const settings = readSettings({ environment: { CAISSON_HOME: join(folder, 'new', 'home') } })
  expect(settings.home).toBe(join(folder, 'new', 'home'))
  expect((await stat(settings.home)).mode & 0o777).toBe(0o700)
  expect(settings.zygoteIdleMs).toBe(600_000)
  expect(Object.isFrozen(settings)).toBe(true)
})

test.each([0o755, 0o710, 0o701, 0o770])('a home of mode %o is refused: others could get in', async (mode) => {
  await chmod(folder, mode)
  expect(() => readSettings({ home: folder })).toThrow(
    expect.objectContaining({ code: 'HOME_UNUSABLE', hint: expect.stringContaining(`chmod 700 ${folder}`) }),
  )
})

test('a path too long for the sockets below it, and one that is no folder, are refused', () => {
  expect(() => readSettings({ home: join(folder, 'x'.repeat(100)) })).toThrow(expect.objectContaining({ code: 'HOME_UNUSABLE' }))
  expect(() => readSettings({ home: '/dev/null' })).toThrow(expect.objectContaining({ code: 'HOME_UNUSABLE' }))
})

test('who names a Firecracker asks for it, and what runs machines is one of a few words', () => {
  const machines = (environment: Record<string, string>) => readSettings({ home: folder, environment }).machines
  expect(machines({})).toBe('auto')
  expect(machines({ CAISSON_FIRECRACKER: '/opt/firecracker' })).toBe('firecracker')
  expect(machines({ CAISSON_FIRECRACKER: '/opt/firecracker', CAISSON_MACHINES: 'auto' })).toBe('auto')
  expect(() => machines({ CAISSON_MACHINES: 'vmware' })).toThrow(
    expect.objectContaining({ code: 'BAD_REQUEST', message: expect.stringContaining('qemu') }),
  )
})

test('addresses that sandboxes may be let reach are read once, and refused when they are none', () => {
  expect(readSettings({ home: folder }).allowPrivate).toEqual([])
  expect(readSettings({ home: folder, environment: { CAISSON_ALLOW_PRIVATE: '10.1.2.0/24,127.0.0.1:80' } }).allowPrivate).toHaveLength(2)
  expect(() => readSettings({ home: folder, environment: { CAISSON_ALLOW_PRIVATE: '10.1.2.0/24,127.0.0.1' } })).toThrow(
    expect.objectContaining({
      code: 'POLICY_INVALID',
      message: expect.stringMatching(/^CAISSON_ALLOW_PRIVATE\.1: "127\.0\.0\.1" is loopback/),
    }),
  )
})

test('what snapshots may take is a share of the disk, what the operator says, or all of it', () => {
  const bounds = (environment: Record<string, string>) => readSettings({ home: folder, environment }).snapshotBounds
  const { count, bytes } = bounds({})
  expect([count, Number.isInteger(bytes) && Number(bytes) > 0]).toEqual([1000, true])
  expect(bounds({ CAISSON_MAX_SNAPSHOTS: '5', CAISSON_MAX_SNAPSHOT_MIB: '2' })).toEqual({ count: 5, bytes: 2 * 1024 * 1024 })
  expect(bounds({ CAISSON_MAX_SNAPSHOTS: '0', CAISSON_MAX_SNAPSHOT_MIB: '0' })).toEqual({ count: null, bytes: null })
})

test.each(['soon', '-1', '1e3', '1.5'])('%j is no number of milliseconds', (text) => {
  expect(() => readSettings({ home: folder, environment: { CAISSON_ZYGOTE_IDLE_MS: text } })).toThrow(
    expect.objectContaining({ code: 'BAD_REQUEST', message: expect.stringContaining('CAISSON_ZYGOTE_IDLE_MS') }),
  )
})
