import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { KeeperEvent } from '@caisson/wire'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readSettings } from '../../host/settings.ts'
import { KeeperSocket } from '../../host/walls/keeper-socket.ts'
import type { LastWords } from '../../host/walls/last-words.ts'

const NO_WORDS = { read: () => '' } as LastWords

let folder: string
let stock: ChildProcess
let path: string
/** Numbers of those that were taken. */
let told: number[]
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stock-'))
  told = []
  path = join(folder, 'keepers.sock')
  stock = spawn(readSettings().keeper, ['stock', path], { env: {}, detached: true, stdio: ['pipe', 'pipe', 'ignore'] })
  await once(stock.stdout as NodeJS.ReadableStream, 'data')
})
afterEach(async () => {
  stock.kill('SIGKILL')
  await until(async () => (await members()).length === 0)
  await rm(folder, { recursive: true, force: true })
})

/** Processes that were started with this socket's name: the stock, its keepers, and what helps those. */
async function members(): Promise<number[]> {
  const found: number[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (command.includes(path)) found.push(Number(pid))
  }
  return found
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let look = 0; look < 500 && !(await holds()); look += 1) await pause(20)
  expect(await holds()).toBe(true)
}

/** What a keeper says to a plan that is none, after it said who it is. */
async function answer(socket: Socket, plan = '{}\n'): Promise<string> {
  let said = ''
  socket.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  socket.write(plan)
  await once(socket, 'close')
  const [taken = '', ...rest] = said.split('\n')
  const { pid } = KeeperEvent.parse(JSON.parse(taken)) as { pid: number }
  told.push(pid)
  return rest.join('\n')
}

test('whoever connects speaks with a keeper of their own, however many come at once', async () => {
  const said = await Promise.all(
    Array.from({ length: 40 }, (_, index) => answer(connect({ path }), index % 2 === 0 ? '{}\n' : 'no JSON\n')),
  )
  for (const text of said) expect(JSON.parse(text)).toMatchObject({ event: 'failed', code: 'PLAN_INVALID' })
  expect(new Set(told).size).toBe(40)
})

test.each([
  ['with its host', () => void stock.stdin?.end()],
  ['when it is killed', () => void stock.kill('SIGKILL')],
])('it ends %s, with all that wait and none that was taken', async (_when, end) => {
  const taken = connect({ path })
  await once(taken, 'connect')
  const [one] = await Promise.all([once(stock, 'exit'), pause(300).then(end)])
  expect(one).toBeDefined()
  // The keeper that was taken, and its helper.
  await until(async () => (await members()).length === (process.getuid?.() === 0 ? 2 : 1))
  expect(JSON.parse(await answer(taken))).toMatchObject({ event: 'failed' })
  await until(async () => (await members()).length === 0)
})

test('who is taken says by which number it is killed, before anything is said to it', async () => {
  const taken = connect({ path })
  const [said] = (await once(taken, 'data')) as [Buffer]
  const { pid } = KeeperEvent.parse(JSON.parse(said.toString())) as { pid: number }
  expect(await members()).toContain(pid)
  process.kill(pid, 'SIGSTOP')
  const over = once(taken, 'close')
  const line = KeeperSocket.taken(path, NO_WORDS, () => undefined)
  line.taken(pid)
  line.kill()
  await over
  expect(await members()).not.toContain(pid)
})

test('with its host it takes its socket along', async () => {
  stock.stdin?.end()
  await once(stock, 'exit')
  expect(existsSync(path)).toBe(false)
})
