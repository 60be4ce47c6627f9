import type { Output, Process } from '@caisson/wire'
import { afterEach, expect, test } from 'vitest'
import { Commands } from '../commands.ts'
import { crumble, endOfStream, FakeDaemon, ID, json, messages, type Script, unaborted } from './fake-daemon.ts'

let daemon: FakeDaemon | undefined
afterEach(async () => {
  await daemon?.[Symbol.asyncDispose]()
  daemon = undefined
})

const START = 'POST /process.Process/Start'
const started = { event: { start: { pid: 7 } } }
const said = (channel: string, bytes: string | Buffer) => ({ event: { data: { [channel]: Buffer.from(bytes).toString('base64') } } })
const ended = (end: object) => ({ event: { end: { exited: true, status: 'exit status 0', ...end } } })

async function commands(script: Script): Promise<{ daemon: FakeDaemon; commands: Commands; start: (wish?: object) => Promise<Process> }> {
  daemon = await FakeDaemon.open(script)
  const held = await daemon.held()
  return { daemon, commands: new Commands(held), start: (wish = {}) => held.start({ command: 'x', ...wish }, unaborted()) }
}
/** A stream of Connect, answered with all of it at once. */
const stream =
  (...pieces: Buffer[]): Script[string] =>
  ({ reply }) =>
    void reply.writeHead(200, { 'content-type': 'application/connect+json' }).end(Buffer.concat(pieces))

test('what is asked is what E2B’s wire has words for', async () => {
  const { daemon, commands } = await scripted(stream(messages(started, ended({})), endOfStream()))
  await commands.run('ls', { cwd: '/tmp', env: { A: '1' }, user: 'root', timeoutMs: 5000 })
  await commands.start(['top'], { pty: { columns: 80, rows: 24 } })
  const [first, second] = daemon.of(START)
  expect(first?.headers).toMatchObject({
    'content-type': 'application/connect+json',
    'connect-protocol-version': '1',
    'connect-timeout-ms': '5000',
    'e2b-sandbox-id': ID,
    'e2b-sandbox-port': '49983',
    'x-access-token': 'token',
    authorization: `Basic ${Buffer.from('root:').toString('base64')}`,
  })
  expect(JSON.parse(first?.body.slice(5) ?? '')).toEqual({
    process: { cmd: '/bin/bash', args: ['-l', '-c', 'ls'], cwd: '/tmp', envs: { A: '1' } },
    stdin: false,
  })
  expect(JSON.parse(second?.body.slice(5) ?? '')).toEqual({ process: { cmd: 'top', args: [] }, pty: { size: { cols: 80, rows: 24 } } })
  expect(second?.headers).not.toHaveProperty('authorization')
})

function scripted(handle: Script[string]) {
  return commands(handle === undefined ? {} : { [START]: handle })
}

test('output and end come out whole, however they were cut on the way', async () => {
  const sharp = Buffer.from('ß')
  const bytes = Buffer.concat([
    messages(
      started,
      said('stdout', sharp.subarray(0, 1)),
      { event: { keepalive: {} } },
      said('stderr', 'e'),
      said('stdout', sharp.subarray(1)),
    ),
    messages(ended({ exitCode: 3, status: 'exit status 3', error: 'exit status 3' })),
    endOfStream(),
  ])
  const { commands } = await scripted(async ({ reply }) => {
    await crumble(reply, bytes)
    reply.end()
  })
  expect(await commands.run('x')).toEqual({ exitCode: 3, stdout: 'ß', stderr: 'e' })
})

test.each([
  [{ exitCode: 0 }, { exitCode: 0 }],
  [
    { exitCode: -1, exited: false, status: 'signal: killed' },
    { exitCode: 137, signal: 9 },
  ],
  [
    { exitCode: -1, exited: false, status: 'signal: segmentation fault (core dumped)' },
    { exitCode: 139, signal: 11 },
  ],
  [
    { exitCode: -1, exited: false, status: 'signal 34' },
    { exitCode: 162, signal: 34 },
  ],
  [
    { exitCode: -1, exited: false, status: 'signal: killed', limit: 'memory' },
    { exitCode: 137, signal: 9, limit: 'memory' },
  ],
  [
    { exitCode: 1, limit: 'disk' },
    { exitCode: 1, limit: 'disk' },
  ],
  [{ exitCode: 1, limit: 'no such limit' }, { exitCode: 1 }],
])('an end told as %j is %j', async (end, exit) => {
  const { start } = await scripted(stream(messages(started, ended(end)), endOfStream()))
  expect(await (await start()).exit).toEqual(exit)
})

test('its time was over', async () => {
  const late = endOfStream({ error: { code: 'deadline_exceeded', message: 'late' } })
  const { start } = await scripted(stream(messages(started, said('stdout', 'so far')), late))
  const process = await start({ timeoutMs: 10 })
  expect(await textOf(process)).toBe('so far')
  expect(await process.exit).toEqual({ exitCode: 124, signal: 9, limit: 'timeout' })
  await expect(start({ timeoutMs: 0 })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
})

async function textOf(process: Process): Promise<string> {
  const pieces: Output[] = []
  for await (const piece of process.output) pieces.push(piece)
  return pieces.map(({ bytes }) => Buffer.from(bytes).toString()).join('')
}

test.each([
  [
    'named by its code',
    { error: { code: 'not_found', message: 'no x. Check the path.' }, metadata: { 'caisson-code': ['file_missing'] } },
    'FILE_MISSING',
    'no x',
  ],
  ['of Connect alone', { error: { code: 'invalid_argument', message: 'cwd: no such folder' } }, 'BAD_REQUEST', 'cwd: no such folder'],
  ['of an unknown kind', { error: { code: 'strange' } }, 'INTERNAL', 'start x: failed'],
])('a start that is refused: %s', async (_, end, code, message) => {
  const { start } = await scripted(stream(endOfStream(end)))
  await expect(start()).rejects.toMatchObject({ code, message })
})

test('a refusal before the stream has begun has its status and code', async () => {
  const body = { code: 401, message: 'no token. Send it.', error_code: 'unauthenticated', hint: 'Send it.' }
  const { start } = await scripted(({ reply }) => json(reply, 401, body))
  await expect(start()).rejects.toMatchObject({ code: 'UNAUTHENTICATED', message: 'no token', hint: 'Send it.' })
})

test('the sandbox dies of a limit while a command runs: that is how the command ended', async () => {
  const death = { id: ID, reason: 'memory', detail: '64 MiB', startedMs: 1, endedMs: 2, peakMemoryBytes: 3, cpuUs: 4 }
  const { daemon, start } = await commands({
    [START]: ({ reply }) => {
      reply.writeHead(200).write(messages(started, said('stdout', 'x')))
      setTimeout(() => reply.destroy(), 50)
    },
    'GET /health': ({ reply }) => json(reply, 502, { sandboxId: ID, message: 'The sandbox was not found', code: 502 }),
    [`GET /caisson/v1/sandboxes/${ID}`]: ({ reply }) => json(reply, 200, { sandboxID: ID, state: 'gone', death }),
  })
  const process = await start()
  expect(await textOf(process)).toBe('x')
  expect(await process.exit).toEqual({ exitCode: 137, signal: 9, limit: 'memory' })
  expect(daemon.of('GET /health')[0]?.headers).toMatchObject({ 'e2b-sandbox-id': ID, 'e2b-sandbox-port': '49983' })
})

test.each([
  ['killed', 'gone', { reason: 'kill' }, 'SANDBOX_GONE', /\(kill\)/],
  ['paused', 'paused', {}, 'CONFLICT', /is paused/],
])('the sandbox is %s while a command runs', async (_, state, rest, code, message) => {
  const { start } = await commands({
    [START]: ({ reply }) => {
      reply.writeHead(200).write(messages(started))
      setTimeout(() => reply.destroy(), 50)
    },
    'GET /health': ({ reply }) => json(reply, 502, {}),
    [`GET /caisson/v1/sandboxes/${ID}`]: ({ reply }) => json(reply, 200, { state, ...rest }),
  })
  const process = await start()
  await expect(process.exit).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
})

test('the connection breaks and the sandbox is well: the daemon is to blame', async () => {
  const { start } = await commands({
    [START]: ({ reply }) => {
      reply.writeHead(200).write(messages(started))
      setTimeout(() => reply.destroy(), 50)
    },
    'GET /health': ({ reply }) => void reply.writeHead(204).end(),
  })
  await expect((await start()).exit).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
})

test('a daemon that is gone is not a sandbox that is gone', async () => {
  const { daemon, start } = await commands({ [START]: ({ reply }) => void reply.writeHead(200).write(messages(started)) })
  const process = await start()
  await daemon.die()
  await expect(process.exit).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
  await expect(start()).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
})

test('input goes in order, and in pieces, also when nobody waits in between', async () => {
  const inputs: string[] = []
  const { daemon, start } = await commands({
    [START]: ({ reply }) => void reply.writeHead(200).write(messages(started)),
    'POST /process.Process/SendInput': async ({ reply, body }) => {
      const { input } = JSON.parse(body.toString()) as { input: { stdin: string } }
      // The first ones take longest.
      await new Promise((resolve) => setTimeout(resolve, 30 - inputs.length * 10))
      inputs.push(Buffer.from(input.stdin, 'base64').toString())
      json(reply, 200, {})
    },
    'POST /process.Process/CloseStdin': ({ reply }) => {
      inputs.push('closed')
      json(reply, 200, {})
    },
  })
  const process = await start({ stdin: true })
  await Promise.all([
    process.write(Buffer.from('a'), unaborted()),
    process.write(Buffer.alloc(300 * 1024, 'b'), unaborted()),
    process.closeStdin(unaborted()),
  ])
  expect(inputs.map((input) => input.length)).toEqual([1, 256 * 1024, 44 * 1024, 6])
  expect(daemon.of('POST /process.Process/SendInput')).toHaveLength(3)
})

test('signals, sizes, and the end of a terminal’s input', async () => {
  const { daemon, start } = await commands({
    [START]: ({ reply }) => void reply.writeHead(200).write(messages(started)),
    'POST /process.Process/SendSignal': ({ reply }) => json(reply, 200, {}),
    'POST /process.Process/Update': ({ reply }) => json(reply, 200, {}),
    'POST /process.Process/SendInput': ({ reply }) => json(reply, 200, {}),
  })
  const process = await start({ pty: { columns: 80, rows: 24 } })
  await process.signal(9, unaborted())
  await process.signal(15, unaborted())
  await process.signal(2, unaborted())
  await process.resize({ columns: 100, rows: 30 }, unaborted())
  await process.closeStdin(unaborted())
  const bodies = daemon.asked.slice(2).map(({ body }) => JSON.parse(body) as unknown)
  const selector = { process: { pid: 7 } }
  expect(bodies).toEqual([
    { ...selector, signal: 'SIGNAL_SIGKILL' },
    { ...selector, signal: 'SIGNAL_SIGTERM' },
    { ...selector, signal: 2 },
    { ...selector, pty: { size: { cols: 100, rows: 30 } } },
    { ...selector, input: { pty: 'BA==' } },
  ])
})

test('a reader who waits makes the daemon wait, and one who leaves does not', async () => {
  const piece = messages(said('stdout', Buffer.alloc(64 * 1024)))
  let sent = 0
  let isStalled = false
  const { start } = await scripted(async ({ reply }) => {
    reply.writeHead(200).write(messages(started))
    for (; sent < 400; sent += 1) {
      if (reply.write(piece)) continue
      isStalled = true
      await new Promise((resolve) => reply.once('drain', resolve))
    }
    reply.end(Buffer.concat([messages(ended({})), endOfStream()]))
  })
  const process = await start()
  const output = process.output[Symbol.asyncIterator]()
  await output.next()
  await expect.poll(() => isStalled).toBe(true)
  expect(sent).toBeLessThan(400)
  await output.return?.()
  expect(await process.exit).toEqual({ exitCode: 0 })
  expect(sent).toBe(400)
})

test('an abort while it starts ends the request; later it does not', async () => {
  const { daemon, commands } = await scripted(() => undefined)
  const abort = new AbortController()
  const starting = commands.start('x', { signal: abort.signal })
  await expect.poll(() => daemon.of(START).length).toBe(1)
  abort.abort(new Error('enough'))
  await expect(starting).rejects.toMatchObject({ code: 'CANCELLED', cause: new Error('enough') })
})
