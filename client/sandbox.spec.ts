import { type CreateRequest, type Death, type Door, Fault, type Held, type RunEvent, type RunRequest } from '@caisson/wire'
import { expect, test } from 'vitest'
import { Sandbox } from './sandbox.ts'

const DEATH: Death = { id: 'i1', reason: 'kill', detail: '', startedMs: 0, endedMs: 1, peakMemoryBytes: null, cpuUs: null }

/** A door whose sandboxes do nothing but say what they were asked. */
function fakeDoor(held: Partial<Held> = {}): { door: Door; created: CreateRequest[]; ran: RunRequest[] } {
  const created: CreateRequest[] = []
  const ran: RunRequest[] = []
  const make = (): Held => {
    const { promise: ended, resolve } = withResolvers<Death>()
    return {
      id: 'i1',
      ended,
      kill: async () => {
        resolve(DEATH)
        return DEATH
      },
      runCode: async (request: RunRequest, on: (event: RunEvent) => void) => {
        ran.push(request)
        on({ type: 'stdout', text: 'out', atMs: 1 })
        on({ type: 'stderr', text: 'err', atMs: 2 })
        on({ type: 'result', result: { text: '42', isMainResult: true } })
        on({ type: 'error', error: { name: 'E', value: 'v', traceback: 't' } })
        return {
          results: [
            { text: 'shown', isMainResult: false },
            { text: '42', isMainResult: true },
          ],
          stdout: 'out',
          stderr: 'err',
          executionCount: 1,
        }
      },
      contexts: async () => [
        { id: 'a', language: 'python', cwd: '/' },
        { id: 'b', language: 'bash', cwd: '/' },
      ],
      ...held,
    } as Held
  }
  const door: Door = {
    create: async (request) => {
      created.push(request)
      return make()
    },
    plan: () => Promise.reject(new Error('not asked for here')),
    close: async () => undefined,
  }
  return { door, created, ran }
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

test('the request reaches the door without what was left out, and null stays', async () => {
  const { door, created } = fakeDoor()
  const given = { profile: 'code-interpreter', memoryMiB: null, metadata: { owner: 'me' } }
  await using sandbox = await Sandbox.create({ ...given, door, signal: new AbortController().signal })
  expect(created).toEqual([given])
  expect(Object.keys(created[0] ?? {})).toEqual(Object.keys(given))
  expect(sandbox.metadata).toEqual({ owner: 'me' })
})

test('code: the main result is the text, and every event has its listener', async () => {
  const { door, ran } = fakeDoor()
  await using sandbox = await Sandbox.create({ door })
  const heard: unknown[] = []
  const result = await sandbox.runCode('6*7', {
    context: { id: 'c1', language: 'python', cwd: '/' },
    onStdout: (text, atMs) => heard.push(['stdout', text, atMs]),
    onStderr: (text, atMs) => heard.push(['stderr', text, atMs]),
    onResult: ({ text }) => heard.push(['result', text]),
    onError: ({ name }) => heard.push(['error', name]),
  })
  expect(result.text).toBe('42')
  expect(ran).toEqual([{ code: '6*7', contextId: 'c1' }])
  expect(heard).toEqual([
    ['stdout', 'out', 1],
    ['stderr', 'err', 2],
    ['result', '42'],
    ['error', 'E'],
  ])
})

test('language and context together are refused', async () => {
  const { door, ran } = fakeDoor()
  await using sandbox = await Sandbox.create({ door })
  await expect(sandbox.runCode('1', { language: 'python', context: 'c1' })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  expect(ran).toEqual([])
})

test('a Fault of the host passes through untouched', async () => {
  const fault = new Fault('LIMIT_UNAVAILABLE', 'no cgroup')
  const door: Door = { ...fakeDoor().door, create: () => Promise.reject(fault) }
  await expect(Sandbox.create({ door })).rejects.toBe(fault)
})

test('kill is idempotent, also for a sandbox that ended by itself', async () => {
  const ended = Promise.resolve<Death>({ ...DEATH, reason: 'timeout' })
  const { door } = fakeDoor({ ended, kill: () => Promise.reject(new Fault('SANDBOX_GONE', 'timeout')) })
  const sandbox = await Sandbox.create({ door })
  expect((await sandbox.kill()).reason).toBe('timeout')
  expect((await sandbox.kill()).reason).toBe('timeout')
})

test('interrupt without a context interrupts them all', async () => {
  const interrupted: string[] = []
  const { door } = fakeDoor({ interrupt: async (id) => void interrupted.push(id) })
  await using sandbox = await Sandbox.create({ door })
  await sandbox.interrupt()
  expect(interrupted).toEqual(['a', 'b'])
  await sandbox.interrupt({ context: 'b' })
  expect(interrupted).toEqual(['a', 'b', 'b'])
})

test('what only a daemon can do is refused by name, with what would serve', async () => {
  const { door } = fakeDoor()
  await using sandbox = await Sandbox.create({ door })
  const asked = [
    () => sandbox.getInfo(),
    () => sandbox.setTimeout(1),
    () => sandbox.pause(),
    () => sandbox.resume(),
    () => sandbox.snapshot(),
    () => sandbox.fork(),
    () => Sandbox.attach('i1', { door }),
    () => Sandbox.connect('i1', { door }),
    () => Sandbox.list({ door }).next(),
  ]
  for (const ask of asked) {
    await expect(ask()).rejects.toMatchObject({ code: 'UNSUPPORTED', hint: expect.stringContaining('caisson up') })
  }
  expect(() => sandbox.getHost(80)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
})
