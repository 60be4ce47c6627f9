import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SpecDaemon } from '../api/daemon.ts'
import { Guest } from './guest.ts'

// A program that made a sandbox for itself may be killed before it can end it. Its connection tells the daemon.

const MAIN = fileURLToPath(new URL('../../dist/caisson.cjs', import.meta.url))

let daemon: SpecDaemon
beforeAll(async () => {
  daemon = await SpecDaemon.open()
})
afterAll(() => daemon[Symbol.asyncDispose]())

const ids = async (at = daemon) =>
  ((await (await at.fetch('/v2/sandboxes')).json()) as { sandboxID: string }[]).map(({ sandboxID }) => sandboxID)

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await holds()) && Date.now() < end; ) await pause(50)
  expect(await holds()).toBe(true)
}

/** `caisson run`, which is told where the daemon is. */
function run(...words: string[]): ChildProcess {
  const env = { ...process.env, CAISSON_URL: daemon.url, CAISSON_API_KEY: daemon.key }
  return spawn(process.execPath, [MAIN, 'run', ...words], { env, stdio: ['ignore', 'pipe', 'inherit'] })
}

test('a run that is killed with -9 takes its sandbox along', async () => {
  const child = run('--timeout', '600s', '--', 'sh', '-c', 'echo ready; sleep 500')
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  const [id = ''] = await ids()
  expect(await ids()).toHaveLength(1)
  child.kill('SIGKILL')
  await until(async () => (await ids()).length === 0)
  const gone = (await (await daemon.fetch(`/caisson/v1/sandboxes/${id}`)).json()) as { state: string; death: Record<string, unknown> }
  expect(gone).toMatchObject({ state: 'gone', death: { reason: 'kill' } })
  // What it used is told too, by the keeper.
  expect(gone.death['peakMemoryBytes']).toBeGreaterThan(100_000)
  expect(gone.death['cpuUs']).toBeGreaterThan(100)
})

test('one whose time was over has told what it used', async () => {
  const guest = await Guest.create(daemon, { timeout: 4 })
  await guest.run('head -c 30M /dev/zero | tail -c 1 > /dev/null')
  await until(async () => (await guest.health()) === 502)
  const told = async () =>
    ((await (await daemon.fetch(`/caisson/v1/sandboxes/${guest.id}`)).json()) as { death: Record<string, unknown> }).death
  await until(async () => (await told())['peakMemoryBytes'] !== null)
  expect(await told()).toMatchObject({ reason: 'timeout', peakMemoryBytes: expect.any(Number), cpuUs: expect.any(Number) })
})

test('whoever holds a leash and lets go ends that sandbox, and no other', async () => {
  const [held, other] = [await Guest.create(daemon), await Guest.create(daemon)]
  const leave = new AbortController()
  const leash = await daemon.fetch(`/caisson/v1/sandboxes/${held.id}/leash`, { signal: leave.signal })
  expect(leash.status).toBe(200)
  expect(await held.run('echo alive')).toBe('alive\n')
  leave.abort()
  await until(async () => (await held.health()) === 502)
  expect(await other.run('echo alive')).toBe('alive\n')
  // One that ends by itself ends the answer.
  const second = await daemon.fetch(`/caisson/v1/sandboxes/${other.id}/leash`)
  await daemon.fetch(`/sandboxes/${other.id}`, { method: 'DELETE' })
  expect((await second.text()).trim()).toBe('')
  expect((await daemon.fetch(`/caisson/v1/sandboxes/${other.id}/leash`)).status).toBe(404)
})

test('the end of the daemon is the end of no sandbox on a leash', async () => {
  await using first = await SpecDaemon.open()
  const guest = await Guest.create(first)
  const leash = first.fetch(`/caisson/v1/sandboxes/${guest.id}/leash`).then((answer) => answer.text())
  leash.catch(() => undefined)
  await pause(500)
  await first.stop('SIGKILL')
  await using second = await first.again()
  expect(await guest.at(second).run('echo alive')).toBe('alive\n')
})

test('what the kernel keeps of files is told apart from what processes use', async () => {
  const guest = await Guest.create(daemon, { timeout: 60 })
  await guest.run('head -c 40M /dev/urandom > ~/big; cat ~/big > /dev/null')
  // The kernel adds up now and then what its processors have counted.
  await until(async () => {
    const metrics = (await (await guest.visit(49983, '/metrics')).json()) as Record<string, number>
    return (metrics['mem_cache'] as number) > 30 << 20
  })
  const [sample] = (await (await guest.ask('GET', '/metrics')).json()) as Record<string, number>[]
  expect(sample?.['memCache']).toBeGreaterThan(30 << 20)
  expect(sample?.['memUsed']).toBeLessThan(30 << 20)
  await daemon.fetch(`/sandboxes/${guest.id}`, { method: 'DELETE' })
})

test('the interpreter’s port is healthy from outside, by header, by name and below a path', async () => {
  const guest = await Guest.create(daemon, { templateID: 'code-interpreter-v1', timeout: 60 })
  const port = new URL(daemon.url).port
  const ways: [string, Record<string, string>][] = [
    ['/health', { 'e2b-sandbox-id': guest.id, 'e2b-sandbox-port': '49999' }],
    [`/s/${guest.id}/49999/health`, {}],
  ]
  for (const [path, headers] of ways) expect(await (await fetch(`${daemon.url}${path}`, { headers })).text()).toBe('"OK"')
  const asked = spawn('curl', ['-s', '-H', `Host: 49999-${guest.id}.localhost:${port}`, `${daemon.url}/health`])
  const [said] = (await once(asked.stdout, 'data')) as [Buffer]
  expect(said.toString()).toBe('"OK"')
  await daemon.fetch(`/sandboxes/${guest.id}`, { method: 'DELETE' })
})
