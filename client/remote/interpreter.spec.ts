import type { RunEvent } from '@caisson/wire'
import { afterEach, expect, test } from 'vitest'
import { crumble, FakeDaemon, ID, json, type Script, unaborted } from './fake-daemon.ts'
import type { RemoteHeld } from './remote-held.ts'

let daemon: FakeDaemon | undefined
afterEach(async () => {
  await daemon?.[Symbol.asyncDispose]()
  daemon = undefined
})

async function opened(script: Script): Promise<{ daemon: FakeDaemon; held: RemoteHeld }> {
  daemon = await FakeDaemon.open(script)
  return { daemon, held: await daemon.held() }
}

const EXECUTE = 'POST /execute'
const told = (...lines: object[]) => Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
const END = { type: 'end_of_execution' }

test('a run: its events as they come, its outcome at the end, whatever the cuts', async () => {
  const bytes = told(
    { type: 'number_of_executions', execution_count: 3 },
    { type: 'stdout', text: 'ß😀\n', timestamp: 1_700_000_000_123_000_000 },
    { type: 'keepalive' },
    { type: 'stderr', text: 'oh', timestamp: 1_700_000_000_124_000_000 },
    { type: 'result', is_main_result: false, png: 'AAAA', text: null, extra: {} },
    { type: 'result', is_main_result: true, text: "'a'", json: { a: 1 }, extra: { 'x/y': 1 } },
    { type: 'something new' },
    { type: 'error', name: 'E', value: 'v', traceback: 't' },
    { type: 'limit', reason: 'output' },
    { type: 'exit', exit_code: 5 },
    END,
  )
  const { daemon, held } = await opened({
    [EXECUTE]: async ({ reply }) => {
      await crumble(reply, bytes)
      reply.end()
    },
  })
  const events: RunEvent[] = []
  const request = { code: '1', contextId: 'c', env: { A: '1' }, program: { path: '/p', args: ['x'] }, timeoutMs: 9 }
  const execution = await held.runCode(request, (event) => void events.push(event), unaborted())
  expect(execution).toEqual({
    results: [
      { png: 'AAAA', isMainResult: false },
      { text: "'a'", json: { a: 1 }, extra: { 'x/y': 1 }, isMainResult: true },
    ],
    stdout: 'ß😀\n',
    stderr: 'oh',
    error: { name: 'E', value: 'v', traceback: 't' },
    executionCount: 3,
    limit: 'output',
    exitCode: 5,
  })
  expect(events.map(({ type }) => type)).toEqual(['started', 'stdout', 'stderr', 'result', 'result', 'error'])
  expect(events[1]).toMatchObject({ type: 'stdout', text: 'ß😀\n', atMs: expect.closeTo(1_700_000_000_123, 0) })
  const [asked] = daemon.of(EXECUTE)
  expect(JSON.parse(asked?.body ?? '')).toEqual({
    code: '1',
    context_id: 'c',
    env_vars: { A: '1' },
    program: { path: '/p', args: ['x'] },
    timeout_ms: 9,
  })
  expect(asked?.headers).toMatchObject({ 'e2b-sandbox-port': '49999', 'x-access-token': 'token', 'caisson-client': '1' })
})

test('an abort breaks off the request, which the daemon takes for an interrupt', async () => {
  let isLeft = false
  const { held } = await opened({
    [EXECUTE]: ({ reply }) => {
      reply.on('close', () => {
        isLeft = true
      })
      reply.write(told({ type: 'stdout', text: 'x' }))
    },
  })
  const abort = new AbortController()
  const running = held.runCode({ code: '1' }, () => abort.abort(new Error('enough')), abort.signal)
  await expect(running).rejects.toMatchObject({ code: 'CANCELLED', cause: new Error('enough') })
  await expect.poll(() => isLeft).toBe(true)
})

test.each([
  [
    'of the catalogue',
    { code: 400, message: 'no cobol. Name one.', error_code: 'language_unknown', hint: 'Name one.' },
    'LANGUAGE_UNKNOWN',
    'no cobol',
  ],
  ['of E2B’s plain words', 'Context x not found', 'NOT_FOUND', 'Context x not found'],
] as const)('a refusal %s', async (_, body, code, message) => {
  const { held } = await opened({
    [EXECUTE]: ({ reply }) => (typeof body === 'string' ? void reply.writeHead(404).end(body) : json(reply, 400, body)),
  })
  await expect(held.runCode({ code: '1' }, () => undefined, unaborted())).rejects.toMatchObject({ code, message })
})

test.each([
  ['cleanly', ({ reply }: Parameters<NonNullable<Script[string]>>[0]) => void reply.end(told({ type: 'stdout', text: 'x' }))],
  [
    'with a reset',
    ({ reply }: Parameters<NonNullable<Script[string]>>[0]) => {
      reply.write(told({ type: 'stdout', text: 'x' }))
      setTimeout(() => reply.socket?.resetAndDestroy(), 30)
    },
  ],
])('a run that is broken off %s tells what became of the sandbox', async (_, execute) => {
  const { held } = await opened({
    [EXECUTE]: execute,
    'GET /health': ({ reply }) => json(reply, 502, {}),
    [`GET /caisson/v1/sandboxes/${ID}`]: ({ reply }) => json(reply, 200, { state: 'gone', reason: 'kill', detail: 'on request' }),
  })
  const running = held.runCode({ code: '1' }, () => undefined, unaborted())
  await expect(running).rejects.toMatchObject({ code: 'SANDBOX_GONE', message: 'the sandbox has ended (kill): on request' })
})

test('a limit that ended the sandbox is how the run ended', async () => {
  const { held } = await opened({
    [EXECUTE]: ({ reply }) => {
      reply.write(told({ type: 'stdout', text: 'x' }))
      setTimeout(() => reply.socket?.resetAndDestroy(), 30)
    },
    'GET /health': ({ reply }) => json(reply, 502, {}),
    [`GET /caisson/v1/sandboxes/${ID}`]: ({ reply }) => json(reply, 200, { state: 'gone', reason: 'memory' }),
  })
  const events: RunEvent[] = []
  const execution = await held.runCode({ code: '1' }, (event) => void events.push(event), unaborted())
  expect(execution).toMatchObject({ stdout: 'x', limit: 'memory', exitCode: 137, error: { name: 'RuntimeDied' } })
  expect(events.at(-1)).toMatchObject({ type: 'error', error: { name: 'RuntimeDied' } })
})

test('a failure of the run itself, told after the answer had begun', async () => {
  const line = { type: 'failure', error_code: 'not_found', message: 'no context "c"', hint: 'It may have ended.' }
  const { held } = await opened({ [EXECUTE]: ({ reply }) => void reply.end(told({ type: 'stdout', text: 'x' }, line, END)) })
  await expect(held.runCode({ code: '1' }, () => undefined, unaborted())).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: 'no context "c"',
  })
})

test('contexts', async () => {
  const context = { id: 'c1', language: 'bash', cwd: '/tmp' }
  const nothing: Script[string] = ({ reply }) => void reply.writeHead(204).end()
  const { daemon, held } = await opened({
    'GET /contexts': ({ reply }) => json(reply, 200, [context, { ...context, id: 'c2' }]),
    'POST /contexts': ({ reply }) => json(reply, 200, context),
    'POST /contexts/c1/restart': ({ reply }) => json(reply, 200, null),
    'POST /contexts/c1/interrupt': nothing,
    'DELETE /contexts/c1': nothing,
  })
  expect(await held.createContext({ language: 'bash', cwd: '/tmp' }, unaborted())).toEqual(context)
  expect(await held.contexts(unaborted())).toEqual([context, { ...context, id: 'c2' }])
  await held.restartContext('c1', unaborted())
  await held.interrupt('c1', unaborted())
  await held.deleteContext('c1', unaborted())
  expect(daemon.asked.slice(1).map(({ line }) => line)).toEqual([
    'POST /contexts',
    'GET /contexts',
    'POST /contexts/c1/restart',
    'POST /contexts/c1/interrupt',
    'DELETE /contexts/c1',
  ])
})
