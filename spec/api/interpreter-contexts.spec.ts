import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { InterpreterServer } from './interpreter-server.ts'

// What a client of the code interpreter's /contexts sees.

interface Context {
  id: string
  language: string
  cwd: string
}

let server: InterpreterServer
beforeAll(async () => {
  server = await InterpreterServer.open()
})
afterAll(() => server[Symbol.asyncDispose]())

const list = async (of = server) => (await (await of.call('GET', '/contexts')).json()) as Context[]
const create = async (body: unknown = {}) => (await (await server.call('POST', '/contexts', body)).json()) as Context
const post = async (path: string, body?: unknown) => {
  const response = await server.call('POST', path, body)
  return [response.status, await response.text()]
}
/** What of a sandbox's processes is a Node interpreter of ours. */
const NODES = 'pgrep -fc "node .*main.cjs" || true'

describe('the list', () => {
  test('shows Python and JavaScript from the start; no Node is started for it', async () => {
    await using own = await server.beside()
    const first = await list(own)
    expect(first).toEqual([
      { id: expect.any(String), language: 'python', cwd: '/home/user' },
      { id: expect.any(String), language: 'javascript', cwd: '/home/user' },
    ])
    expect((await own.run(NODES, { language: 'bash' })).at(1)).toMatchObject({ text: '0\n' })
    const [python, javascript] = first
    await own.run('x = 1')
    expect((await own.run('x', { context_id: python?.id })).at(1)).toMatchObject({ text: '1' })
    await own.run('const y = 2', { context_id: javascript?.id })
    expect((await own.run('y', { language: 'js' })).at(1)).toMatchObject({ text: '2' })
    expect((await own.run(NODES, { language: 'bash' })).at(1)).toMatchObject({ text: '1\n' })
    // Bash has come with its first run; the others are who they were.
    expect(await list(own)).toEqual([...first, { id: expect.any(String), language: 'bash', cwd: '/home/user' }])
  })

  test('a new one is the last', async () => {
    const made = await create()
    expect(made).toEqual({ id: expect.any(String), language: 'python', cwd: '/home/user' })
    expect((await list()).at(-1)).toEqual(made)
    const other = await create({ language: 'ts', cwd: '/tmp' })
    expect(other).toEqual({ id: expect.any(String), language: 'typescript', cwd: '/tmp' })
    expect((await list()).at(-1)).toEqual(other)
    expect((await server.run('process.cwd()', { context_id: other.id })).at(1)).toMatchObject({ text: '/tmp' })
    expect(await create({ cwd: '/root' })).toMatchObject({ cwd: '/root' })
  })

  test('nulls are what is not there', async () => {
    expect(await create({ language: null, cwd: null })).toMatchObject({ language: 'python', cwd: '/home/user' })
  })
})

describe('a context', () => {
  test('keeps its state from the others', async () => {
    const [one, other] = [await create(), await create()]
    await server.run('x = 1', { context_id: one.id })
    expect((await server.run('x', { context_id: other.id })).at(1)).toMatchObject({ type: 'error', value: "name 'x' is not defined" })
  })

  test('is the same after a restart, and knows nothing', async () => {
    const made = await create({ cwd: '/tmp' })
    await server.run('x = 1; __import__("os").chdir("/")', { context_id: made.id })
    expect(await post(`/contexts/${made.id}/restart`)).toEqual([200, 'null'])
    const said = await server.run('x', { context_id: made.id })
    expect(said[0]).toEqual({ type: 'number_of_executions', execution_count: 1 })
    expect(said[1]).toMatchObject({ type: 'error', name: 'NameError', value: "name 'x' is not defined" })
    expect((await server.run('__import__("os").getcwd()', { context_id: made.id })).at(1)).toMatchObject({ text: '/tmp' })
    expect(await list()).toContainEqual(made)
  })

  test('that is restarted tells the runs that were asked of it', async () => {
    const made = await create()
    const running = server.run('import time; print("on", flush=True); time.sleep(300)', { context_id: made.id })
    const waiting = server.run('print("never")', { context_id: made.id })
    await pause(500)
    expect(await post(`/contexts/${made.id}/restart`)).toEqual([200, 'null'])
    const error = { type: 'error', name: 'ContextRestarting', value: 'Context was restarted', traceback: '' }
    expect((await running).slice(-2)).toEqual([error, { type: 'end_of_execution' }])
    expect(await waiting).toEqual([error, { type: 'end_of_execution' }])
    expect((await server.run('1', { context_id: made.id })).at(1)).toMatchObject({ text: '1' })
  })

  test('that was removed is gone, and so are its runs', async () => {
    const made = await create({ language: 'bash' })
    const running = server.run('echo on; sleep 300', { context_id: made.id })
    await pause(500)
    const response = await server.call('DELETE', `/contexts/${made.id}`)
    expect(response.status).toBe(200)
    expect((await running).at(-2)).toMatchObject({ type: 'error', name: 'UnexpectedEndOfExecution' })
    expect((await list()).map(({ id }) => id)).not.toContain(made.id)
    expect(await post('/execute', undefined)).toEqual([401, expect.anything()])
    const refused = await server.execute({ code: '1', context_id: made.id })
    expect([refused.status, await refused.text()]).toEqual([404, `Context ${made.id} not found`])
    expect(await post(`/contexts/${made.id}/restart`)).toEqual([404, `Context ${made.id} not found`])
    const again = await server.call('DELETE', `/contexts/${made.id}`)
    expect([again.status, await again.text()]).toEqual([404, `Context ${made.id} not found`])
  })

  test('whose process dies says so, and comes back empty', async () => {
    const made = await create()
    const died = server.run('x = 1; import os, time; print("on", flush=True); time.sleep(0.5); os._exit(7)', { context_id: made.id })
    await pause(200)
    const waiting = server.run('x', { context_id: made.id })
    expect((await died).at(-2)).toMatchObject({ type: 'error', name: 'RuntimeDied', value: expect.stringContaining('exit code 7') })
    expect((await waiting).at(0)).toMatchObject({ type: 'error', name: 'ExecutionAborted' })
    expect(await list()).toContainEqual(made)
    expect((await server.run('"x" in globals()', { context_id: made.id })).at(1)).toMatchObject({ text: 'False' })
  })

  test('is the same for the next daemon, and knows what it knew', async () => {
    const own = await InterpreterServer.open()
    const [python, javascript] = await list(own)
    await own.run('kept = 41')
    const begun = await own.execute({ code: 'import time; print("on", flush=True); time.sleep(300)' })
    const reader = begun.body?.getReader()
    for (let said = ''; !said.includes('"on'); ) said += new TextDecoder().decode((await reader?.read())?.value)
    await own.daemon.stop('SIGKILL')
    await using next = own.of(await own.daemon.again())
    expect(await list(next)).toEqual([python, javascript])
    // What the code was doing was for somebody who has gone.
    const said = await next.run('kept + 1')
    expect(said).toContainEqual({ type: 'number_of_executions', execution_count: 3 })
    expect(said).toContainEqual({ type: 'result', is_main_result: true, text: '42', extra: {} })
    expect((await next.run('kept')).slice(0, 2)).toMatchObject([{ execution_count: 4 }, { text: '41' }])
    expect((await next.run('const z = 1; z', { context_id: javascript?.id })).slice(0, 2)).toMatchObject([
      { execution_count: 1 },
      { text: '1' },
    ])
  })

  test('is there under its id when its sandbox boots again, and knows nothing', async () => {
    await using own = await server.beside()
    const made = (await (await own.call('POST', '/contexts', { language: 'bash', cwd: '/tmp' })).json()) as Context
    const before = await list(own)
    await own.run('x = 1')
    await own.control('pause', { memory: false })
    await own.control('connect', { timeout: 300 })
    expect(await list(own)).toEqual(before)
    expect((await own.run('"x" in globals()')).slice(0, 2)).toMatchObject([{ execution_count: 1 }, { text: 'False' }])
    expect((await own.run('pwd', { context_id: made.id })).at(1)).toMatchObject({ text: '/tmp\n' })
  })

  test.each([
    ['python', 'made/for/python', '/home/user/made/for/python', 'import os; os.getcwd()'],
    ['javascript', '~/made/for/javascript', '/home/user/made/for/javascript', 'process.cwd()'],
    ['bash', '/tmp/made for bash/', '/tmp/made for bash', 'printf %s "$PWD"'],
  ])('in %s a folder that is not there is made', async (language, asked, whole, code) => {
    const made = (await (await server.call('POST', '/contexts', { language, cwd: asked })).json()) as Context
    expect(made).toMatchObject({ language, cwd: whole })
    expect((await list()).at(-1)).toEqual(made)
    expect(await server.run(code, { context_id: made.id })).toContainEqual(expect.objectContaining({ text: whole }))
  })

  test('a folder that is not there is made once for all who ask for it at once', async () => {
    const made = (await Promise.all(Array.from({ length: 3 }, () => create({ cwd: 'at/once' })))).map(({ cwd }) => cwd)
    expect(made).toEqual(Array.from({ length: 3 }, () => '/home/user/at/once'))
  })

  test.each([
    [{ language: 'cobol' }, 500, /^Failed to create context: no language "cobol"; there are: /],
    [{ cwd: '/not/there' }, 500, /^Failed to create context: .*\/not\/there/],
    [{ language: 'bash', cwd: '/not/there' }, 500, /^Failed to create context: /],
    [{ language: 7 }, 400, /^language: /],
    [{ colour: 'red' }, 400, /^colour: no such field$/],
    [{ cwd: 'a\0b' }, 400, /^cwd: must not contain NUL$/],
  ])('%j cannot be made, and leaves nothing', async (body, status, text) => {
    const before = await list()
    expect(await post('/contexts', body)).toEqual([status, expect.stringMatching(text)])
    expect(await list()).toEqual(before)
  })
})

describe('the rest', () => {
  test('health', async () => {
    const response = await server.call('GET', '/health?source=x')
    expect([response.status, await response.text()]).toEqual([200, '"OK"'])
  })

  test('is open to pages of every origin', async () => {
    const origin = { origin: 'https://a.example' }
    const asked = { ...origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-access-token,x-b' }
    const preflight = await server.call('OPTIONS', '/execute', undefined, asked)
    expect(preflight.ok).toBe(true)
    expect(preflight.headers.get('access-control-allow-origin')).toBe('*')
    expect(preflight.headers.get('access-control-allow-headers')).toBe('x-access-token,x-b')
    expect(preflight.headers.get('access-control-allow-methods')).toContain('DELETE')
    const responses = [
      await server.execute({ code: '1' }, origin),
      await server.call('GET', '/contexts', undefined, origin),
      await server.execute('no', origin),
    ]
    for (const response of responses) {
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
      await response.text()
    }
  })

  test.each([
    ['GET', '/', 404],
    ['GET', '/contexts/a/b', 404],
    ['GET', '/contexts/%ff', 405],
    ['GET', '/execute', 405],
    ['PUT', '/contexts', 405],
    ['GET', '/contexts/a', 405],
  ])('%s %s: %i', async (method, path, status) => {
    const response = await server.call(method, path)
    expect([response.status, response.headers.get('content-type')]).toEqual([status, 'text/plain; charset=utf-8'])
    if (status === 405) expect(response.headers.get('allow')).not.toBe('')
  })
})
