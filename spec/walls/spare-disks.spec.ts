import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { Guest } from '../daemon/guest.ts'
import { SpecHost } from './home.ts'

let host: SpecHost
beforeEach(async () => {
  host = await SpecHost.open()
})
afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

const create = (diskMiB?: number) => Sandbox.create({ template: 'base', door: host.door, ...(diskMiB ? { diskMiB } : {}) })
const spares = (home = host.home) => readdirSync(join(home, 'disks')).filter((name) => name.startsWith('spare-'))
/** Attached images of this state folder. */
const attached = () =>
  readdirSync('/sys/block')
    .map((name) => `/sys/block/${name}/loop/backing_file`)
    .map(imageOf)
    .filter((image) => image.startsWith(host.home))
/** Makes sandboxes, as it takes: the stock begins with the third, and those that wait then have nobody to go by. */
async function untilTwoWait(): Promise<Sandbox[]> {
  const made: Sandbox[] = []
  while (spares().length < 2 && made.length < 20) {
    made.push(await create())
    await pause(100)
  }
  expect(spares()).toHaveLength(2)
  return made
}

test('a disk that was made beforehand is one sandbox’s alone, and empty', async () => {
  const before = await untilTwoWait()
  const made = spares().map((name) => inode(join(host.home, 'disks', name)))
  const sandbox = await create()
  const image = join(host.home, 'sandboxes', sandbox.id, 'disk.img')
  expect(made).toContain(inode(image))
  expect(attached()).toContain(image)
  await sandbox.files.write('/home/user/mine', 'mine')
  for (const other of [...before, await create()]) expect(await other.files.exists('/home/user/mine')).toBe(false)
})

test('whoever wants another disk has that one', async () => {
  await untilTwoWait()
  const [small, large] = [await create(64), await create()]
  expect(await sizeMiB(small)).toBeLessThanOrEqual(64)
  expect(await sizeMiB(large)).toBeGreaterThan(900)
})

test('nothing of them is left behind', async () => {
  await untilTwoWait()
  await host.door.close()
  expect(spares()).toEqual([])
  expect(attached()).toEqual([])
})

test('what somebody kept is no model for others, and what was made before that is not left behind', async () => {
  await using daemon = await SpecDaemon.open()
  const origin = await Guest.create(daemon)
  const guests = [origin]
  while (spares(daemon.home).length < 2 && guests.length < 20) {
    guests.push(await Guest.create(daemon))
    await pause(100)
  }
  const taken = (await (await origin.ask('POST', '/snapshots', { name: 'kept' })).json()) as { snapshotID: string }
  const kept = readdirSync(join(daemon.home, 'snapshots'), { recursive: true })
  // Their keepers come out of the stock, which makes others in their place when it has rested.
  for (let count = 0; count < 5; count += 1) {
    guests.push(await Guest.create(daemon, { templateID: taken.snapshotID }))
    await pause(200)
    expect(readdirSync(join(daemon.home, 'snapshots'), { recursive: true })).toEqual(kept)
  }
  for (const guest of guests) await guest.ask('DELETE', '')
  await daemon.stop()
  expect(spares(daemon.home)).toEqual([])
})

test('those of a stock that was killed are detached, and removed by the next', async () => {
  const sandboxes = await untilTwoWait()
  const killed = spares()
  process.kill(Number(execFileSync('pgrep', ['-f', `stock ${host.home}`, '-o'], { encoding: 'utf8' })), 'SIGKILL')
  await Promise.all(sandboxes.map((sandbox) => sandbox.kill()))
  await vi.waitFor(() => expect(attached()).toEqual([]), { timeout: 60_000, interval: 20 })
  expect(spares()).toEqual(killed)
  await host.door.close()
  host = await SpecHost.open({ home: host.home })
  for (let count = 0; count < 20 && spares().some((name) => killed.includes(name)); count += 1) {
    await create()
    await pause(100)
  }
  expect(spares().filter((name) => killed.includes(name))).toEqual([])
})

async function sizeMiB(sandbox: Sandbox): Promise<number> {
  const { stdout } = await sandbox.commands.run('df -BM --output=size /home/user | tail -1')
  return Number(stdout.replace('M', ''))
}

function inode(path: string): number {
  return statSync(path).ino
}

/** Empty: there is none, or none any more. */
function imageOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return ''
  }
}
