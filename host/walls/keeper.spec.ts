import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { MAX_KEEPER_LINE_BYTES, type Plan } from '@caisson/wire'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { settled } from '../lifetimes.ts'
import { container } from './container.ts'
import { Keeper } from './keeper.ts'
import { KeeperSocket } from './keeper-socket.ts'
import { Keepers } from './keepers.ts'
import type { LastWords } from './last-words.ts'

const signal = new AbortController().signal
const READY = { event: 'ready', agentPid: 5, uidBase: null, forked: [7], steps: [['sockets', 3]] }
const DEATH = { id: 'i1', reason: 'timeout', detail: 'late', startedMs: 1, endedMs: 2, peakMemoryBytes: null, cpuUs: null }

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keeper-'))
  await mkdir(join(folder, 'i1'))
})
afterEach(() => rm(folder, { recursive: true }))

/** A keeper that is a script: `$plan` is the first line it was given. */
async function launch(script: string, on: AbortSignal = signal, listening?: (agentSocket: string) => void, patienceMs?: number) {
  const keeper = join(folder, 'keeper')
  await writeFile(keeper, `#!/bin/sh\nPATH=/usr/bin:/bin\nread -r plan\n${script}\n`, { mode: 0o755 })
  const plan = { id: 'i1', dir: join(folder, 'i1'), leash: 'host' } as Plan
  return container.launch(plan, { keepers: new Keepers(keeper, folder), keeper, uid: process.getuid?.() ?? 0, patienceMs }, on, listening)
}
const say = (event: object) => `echo '${JSON.stringify(event)}'`

test('a keeper that is ready makes a cell, with what it said, and its death is the end of it', async () => {
  const cell = await launch(`${say(READY)}; read -r go; ${say({ event: 'death', death: DEATH })}`)
  expect(cell.ready).toEqual(READY)
  expect(cell.agentSocket).toBe(join(folder, 'i1', 'agent.sock'))
  const asked = cell.ask({ op: 'stats' }, signal)
  await expect(cell.death).resolves.toEqual(DEATH)
  await expect(asked).rejects.toMatchObject({ code: 'SANDBOX_GONE', message: expect.stringContaining('timeout') })
})

test('whoever has something to say to the agent is told as soon as it waits there, before the wall stands', async () => {
  const heard: string[] = []
  const cell = await launch(
    `${say({ event: 'listening' })}; while [ ! -e "$0.said" ]; do sleep 0.01; done; ${say(READY)}; cat >/dev/null`,
    signal,
    (socket) => {
      heard.push(socket)
      writeFileSync(join(folder, 'keeper.said'), '')
    },
  )
  expect(heard).toEqual([cell.agentSocket])
  await cell[Symbol.asyncDispose]()
})

test('the plan is one line of JSON, whatever is in it', async () => {
  const cell = await launch(`[ "$plan" = "$(printf %s "$plan" | head -1)" ] && ${say(READY)}; cat >/dev/null`)
  expect(cell.ready.agentPid).toBe(5)
  await cell[Symbol.asyncDispose]()
})

test('answers find their questions in any order, and limits are told', async () => {
  const answers = [
    { event: 'limit', reason: 'memory', detail: 'too much' },
    { event: 'answer', seq: 99, ok: {} },
    { event: 'answer', seq: 2, error: 'no such thing' },
    { event: 'answer', seq: 1, ok: { pids: [3] } },
  ]
  const cell = await launch(`${say(READY)}; read -r one; read -r two; ${answers.map(say).join('; ')}; cat >/dev/null`)
  const hits: string[] = []
  cell.onLimit(({ reason }) => hits.push(reason))
  const [one, two] = [cell.ask({ op: 'stats' }, signal), cell.ask({ op: 'deadline', wallMs: null }, signal)]
  await expect(two).rejects.toMatchObject({ message: 'no such thing' })
  await expect(one).resolves.toEqual({ pids: [3] })
  expect(hits).toEqual(['memory'])
  await cell[Symbol.asyncDispose]()
})

test('that its time is over is heard by whoever comes to listen later, too, until it goes on', async () => {
  const said = [{ event: 'frozen' }, { event: 'answer', seq: 1, ok: {} }, { event: 'answer', seq: 2, ok: {} }]
  const cell = await launch(
    `${say(READY)}; read -r one; ${say(said[0] as object)}; ${say(said[1] as object)}; read -r two; ${say(said[2] as object)}; cat >/dev/null`,
  )
  const heard: string[] = []
  await cell.ask({ op: 'hello' }, signal)
  const stop = cell.onFrozen(() => heard.push('late'))
  cell.onFrozen(() => heard.push('gone'))()
  await pause(0)
  expect(heard).toEqual(['late'])
  stop()
  await cell.ask({ op: 'thaw', wallMs: null }, signal)
  cell.onFrozen(() => heard.push('after'))
  await pause(0)
  expect(heard).toEqual(['late'])
  await cell[Symbol.asyncDispose]()
})

test('a step that failed is named, under its code, with its hint', async () => {
  const failed = { event: 'failed', code: 'LIMIT_UNAVAILABLE', step: 'cgroup', message: 'memory: no', hint: 'Do this.' }
  await expect(launch(say(failed))).rejects.toMatchObject({
    code: 'LIMIT_UNAVAILABLE',
    message: 'cgroup: memory: no',
    hint: 'Do this.',
    step: 'cgroup',
  })
})

test.each([
  ['ends without a word', 'exit 3', 'ended with 3'],
  ['ends with a word on stderr', 'echo out of luck >&2; exit 1', 'out of luck'],
  ['speaks no JSON', 'echo hello; cat >/dev/null', 'not an event'],
  ['says an event that nobody knows', `${say({ event: 'party' })}; cat >/dev/null`, 'not an event'],
  ['says more in an event than it has', `${say({ ...READY, more: 1 })}; cat >/dev/null`, 'not an event'],
  ['never ends its line', `head -c ${MAX_KEEPER_LINE_BYTES * 2} /dev/zero; cat >/dev/null`, 'a line without end'],
])('a keeper that %s is no keeper', async (_what, script, said) => {
  await expect(launch(script)).rejects.toMatchObject({ code: 'LAUNCH_FAILED', message: expect.stringContaining(said) })
})

test('a keeper that is not there is LAUNCH_FAILED', async () => {
  const plan = { id: 'i1', dir: join(folder, 'i1'), leash: 'host' } as Plan
  const keeper = join(folder, 'missing', 'keeper')
  const launching = container.launch(plan, { keepers: new Keepers(keeper, folder), keeper, uid: 0 }, signal)
  await expect(launching).rejects.toMatchObject({ code: 'LAUNCH_FAILED', message: expect.stringContaining('ENOENT') })
})

test('a keeper that falls silent after it was ready is a crash, told once its output ends', async () => {
  const cell = await launch(`${say(READY)}; echo last words >&2`)
  await expect(cell.death).resolves.toMatchObject({ id: 'i1', reason: 'crash', detail: expect.stringContaining('last words') })
})

test('a launch that is aborted lets the keeper go, and waits until it has gone', async () => {
  const abort = new AbortController()
  const launching = launch('cat >/dev/null; touch "$0.gone"', abort.signal)
  abort.abort()
  await expect(launching).rejects.toMatchObject({ code: 'CANCELLED' })
  expect(existsSync(join(folder, 'keeper.gone'))).toBe(true)
})

test('one that never answers, nor ends when it is let go, is killed when patience is at its end', async () => {
  const abort = new AbortController()
  // It says who it is to a file, since nothing that it says is an answer.
  const launching = launch('echo $$ >"$0.pid"; exec sleep 600', abort.signal, undefined, 50)
  const pid = join(folder, 'keeper.pid')
  const number = await waitFor(async () => Number(await readFile(pid, 'utf8').catch(() => '')) || undefined)
  abort.abort()
  await expect(launching).rejects.toMatchObject({ code: 'CANCELLED' })
  expect(() => process.kill(number, 0)).toThrow(expect.objectContaining({ code: 'ESRCH' }))
})

test('so is one of a stock, by the number that it said, and no other program that has it; a stock of which nobody came is given up', async () => {
  await copyFile('/bin/sleep', join(folder, 'caisson-keeper'))
  const [stuck, other] = [join(folder, 'caisson-keeper'), '/bin/sleep'].map((program) => spawn(program, ['600'])) as [
    ChildProcess,
    ChildProcess,
  ]
  await Promise.all([once(stuck, 'spawn'), once(other, 'spawn')])
  const path = join(folder, 'keepers.sock')
  const stock = createServer()
  await new Promise<void>((listening) => stock.listen(path, listening))
  let unanswered = 0
  const giveUp = async (pid: number | undefined) => {
    const taken = [{ event: 'taken', pid }, { event: 'listening' }].map((event) => `${JSON.stringify(event)}\n`).join('')
    stock.once('connection', (socket) => pid !== undefined && socket.write(taken))
    const line = KeeperSocket.taken(path, { read: () => '' } as LastWords, () => {
      unanswered += 1
    })
    const heard = settled<string>()
    const keeper = Keeper.launched(line, { id: 'i1', dir: folder } as Plan, heard.resolve)
    if (pid !== undefined) await heard.promise
    await keeper.end(50)
  }
  try {
    await giveUp(undefined)
    expect(unanswered).toBe(1)
    const over = once(stuck, 'exit')
    for (const { pid } of [other, stuck]) await giveUp(pid)
    expect([unanswered, await over, other.exitCode, other.signalCode]).toEqual([1, [null, 'SIGKILL'], null, null])
  } finally {
    stock.close()
    other.kill('SIGKILL')
    stuck.kill('SIGKILL')
  }
})

test('one that does not end its sandbox when asked to is killed, and the record says what it was asked for', async () => {
  const cell = await launch(`${say(READY)}; exec sleep 600`)
  const asked = cell.ask({ op: 'kill', reason: 'output', detail: 'too much' }, signal)
  await (cell as Keeper).end(50)
  await expect(asked).rejects.toMatchObject({ code: 'SANDBOX_GONE' })
  expect(await cell.death).toMatchObject({
    reason: 'crash',
    detail: 'its keeper, which was to end it (output: too much), did not within 0.05 s, and was killed',
  })
})

test('one that refused to end its sandbox, as its disk could not be kept, is asked anew when it is let go', async () => {
  const refused = say({ event: 'answer', seq: 1, error: 'the disk cannot be kept there' })
  const cell = await launch(
    `${say(READY)}; read -r one; ${refused}; read -r two; echo "$two" >"$0.asked"; ${say({ event: 'death', death: DEATH })}`,
  )
  await expect(cell.ask({ op: 'kill', reason: 'pause', detail: 'paused', keepDisk: '/nowhere' }, signal)).rejects.toMatchObject({
    code: 'LAUNCH_FAILED',
  })
  await (cell as Keeper).end(2_000)
  expect(await cell.death).toEqual(DEATH)
  expect(JSON.parse(await readFile(join(folder, 'keeper.asked'), 'utf8'))).toMatchObject({ op: 'kill', reason: 'kill' })
})

test('what a keeper refuses has its code and its hint; of earlier versions neither is sent', async () => {
  const refusals = [
    { event: 'answer', seq: 1, error: 'cgroup: freezer: no', code: 'LIMIT_UNAVAILABLE', hint: 'Run as root.' },
    { event: 'answer', seq: 2, error: 'disk: no' },
  ]
  const [freezer, disk] = refusals.map(say)
  const cell = await launch(
    `${say(READY)}; read -r one; ${freezer}; read -r two; ${disk}; read -r three; ${say({ event: 'death', death: DEATH })}`,
  )
  await expect(cell.ask({ op: 'freeze' }, signal)).rejects.toMatchObject({ code: 'LIMIT_UNAVAILABLE', hint: 'Run as root.' })
  await expect(cell.ask({ op: 'freeze' }, signal)).rejects.toMatchObject({ code: 'LAUNCH_FAILED', message: 'disk: no' })
  await (cell as Keeper).end(2_000)
})

test('one that was released is nobody to end any more', async () => {
  const cell = await launch(`echo $$ >"$0.pid"; ${say(READY)}; exec sleep 600`)
  const pid = Number(await readFile(join(folder, 'keeper.pid'), 'utf8'))
  try {
    cell.release()
    await (cell as Keeper).end(50)
    expect(() => process.kill(pid, 0)).not.toThrow()
  } finally {
    process.kill(pid, 'SIGKILL')
  }
})

async function waitFor<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    await pause(10)
  }
}
