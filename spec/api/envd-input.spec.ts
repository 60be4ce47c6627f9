import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { base64, begin, collect, EnvdSandbox, type Envelope, envelope, envelopesOf, printed, start, until } from './envd-sandbox.ts'

let sandbox: EnvdSandbox
beforeAll(async () => {
  sandbox = await EnvdSandbox.open()
})
afterAll(() => sandbox[Symbol.asyncDispose]())

const CONNECT = 'process.Process/Connect'

describe('input', () => {
  test('goes to the command, and its end too; twice is once', async () => {
    const { pid, events } = await begin(sandbox, { ...start('cat; echo end'), stdin: true })
    expect((await sandbox.rpc('process.Process/SendInput', { process: { pid }, input: { stdin: base64('typed\n') } })).json).toEqual({})
    await until(events, printed('typed'))
    expect((await sandbox.rpc('process.Process/CloseStdin', { process: { pid } })).json).toEqual({})
    expect((await sandbox.rpc('process.Process/CloseStdin', { process: { pid } })).status).toBeLessThan(500)
    expect((await until(events, (event) => event.end !== undefined)).end.exited).toBe(true)
  })

  test('is not taken by a command without a pipe, nor as the wrong kind', async () => {
    const { pid, leave } = await begin(sandbox, start('exec sleep 1000'))
    const refused = await sandbox.rpc('process.Process/SendInput', { process: { pid }, input: { stdin: base64('x') } })
    expect(refused).toMatchObject({ status: 500, json: { code: 'internal', message: 'stdin not enabled or closed' } })
    const wrong = await sandbox.rpc('process.Process/SendInput', { process: { pid }, input: { pty: base64('x') } })
    expect(wrong).toMatchObject({ status: 500, json: { code: 'internal' } })
    expect((await sandbox.rpc('process.Process/SendInput', { process: { pid } })).json.code).toBe('unimplemented')
    await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' })
    leave()
    const missing = await sandbox.rpc('process.Process/SendInput', { process: { pid: 999_999 }, input: { stdin: base64('x') } })
    expect(missing).toMatchObject({ status: 404, json: { code: 'not_found', message: 'process with pid 999999 not found' } })
  })

  test('absent stdin is a pipe', async () => {
    const { pid, events } = await begin(sandbox, { process: { cmd: 'cat' } })
    await sandbox.rpc('process.Process/SendInput', { process: { pid }, input: { stdin: base64('x') } })
    await until(events, printed('x'))
    await sandbox.rpc('process.Process/CloseStdin', { process: { pid } })
    expect((await until(events, (event) => event.end !== undefined)).end.status).toBe('exit status 0')
  })

  test('may come as a stream, each piece at once; the answer comes with its end', async () => {
    const { pid, events } = await begin(sandbox, { ...start('cat; echo end'), stdin: true })
    const { readable, writable } = new TransformStream<Uint8Array>()
    const writer = writable.getWriter()
    const answer = streamed(readable)
    await writer.write(envelope({ start: { process: { pid } } }))
    await writer.write(envelope({ data: { input: { stdin: base64('one\n') } } }))
    await until(events, printed('one'))
    await writer.write(envelope({ keepalive: {} }))
    await writer.write(envelope({ data: { input: { stdin: base64('two\n') } } }))
    await until(events, printed('two'))
    await writer.close()
    expect(await answer).toEqual([
      { flags: 0, json: {} },
      { flags: 2, json: {} },
    ])
    await sandbox.rpc('process.Process/CloseStdin', { process: { pid } })
    await until(events, (event) => event.end !== undefined)
  })

  test('a stream whose command has ended is answered while it is open', async () => {
    const { pid, events } = await begin(sandbox, { ...start('read line'), stdin: true })
    const { readable, writable } = new TransformStream<Uint8Array>()
    const writer = writable.getWriter()
    const answer = streamed(readable)
    await writer.write(envelope({ start: { process: { pid } } }))
    await writer.write(envelope({ data: { input: { stdin: base64('line\n') } } }))
    await until(events, (event) => event.end !== undefined)
    const [end] = await answer
    expect(end).toMatchObject({ flags: 2, json: { error: { code: 'not_found' } } })
  })
})

async function streamed(body: ReadableStream<Uint8Array>): Promise<Envelope[]> {
  const headers = { 'content-type': 'application/connect+json', 'connect-content-encoding': 'identity' }
  const init = { method: 'POST', headers, body, duplex: 'half' } as RequestInit
  const reply = await sandbox.fetch('/process.Process/StreamInput', init)
  const envelopes: Envelope[] = []
  for await (const one of envelopesOf(reply.body as ReadableStream<Uint8Array>)) envelopes.push(one)
  return envelopes
}

describe('a terminal', () => {
  const pty = (size: { cols: number; rows: number }) => ({
    process: { cmd: '/bin/bash', args: ['-i', '-l'], envs: { TERM: 'xterm-256color' } },
    pty: { size },
  })

  test('has a size, takes input, can be left and found again', async () => {
    const { pid, events, leave } = await begin(sandbox, pty({ cols: 80, rows: 24 }))
    const type = (text: string) => sandbox.rpc('process.Process/SendInput', { process: { pid }, input: { pty: base64(text) } })
    await type('stty size\n')
    await until(events, printed('24 80'))
    const resized = await sandbox.rpc('process.Process/Update', { process: { pid }, pty: { size: { cols: 100, rows: 30 } } })
    expect(resized.json).toEqual({})
    await type('stty size\n')
    await until(events, printed('30 100'))
    leave()
    const again = sandbox.stream(CONNECT, { process: { pid } })
    await again.next()
    await type('echo la"ter"\n')
    await until(again, printed('later'))
    await type('exit\n')
    expect((await until(again, (event) => event.end !== undefined)).end).toEqual({ exited: true, status: 'exit status 0' })
  })

  test('cannot have its stdin closed, nor be written to as a pipe', async () => {
    const { pid, leave } = await begin(sandbox, pty({ cols: 80, rows: 24 }))
    expect((await sandbox.rpc('process.Process/CloseStdin', { process: { pid } })).json).toMatchObject({ code: 'unknown' })
    const wrong = await sandbox.rpc('process.Process/SendInput', { process: { pid }, input: { stdin: base64('x') } })
    expect(wrong.json.code).toBe('internal')
    await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' })
    leave()
  })

  test('may have no known size, as one has that was given none; what the kernel cannot count is refused by name', async () => {
    const { pid, events, leave } = await begin(sandbox, pty({ cols: 0, rows: 0 }))
    const resize = (size: Record<string, number>) => sandbox.rpc('process.Process/Update', { process: { pid }, pty: { size } })
    expect((await resize({ cols: 65_535, rows: 7 })).json).toEqual({})
    for (const [size, name] of [
      [{ cols: 1_000_000_000, rows: 24 }, 'columns'],
      [{ cols: 80, rows: 65_536 }, 'rows'],
    ] as const) {
      expect((await resize(size)).json).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(`pty.${name}`) })
      const { error } = await collect(sandbox.stream('process.Process/Start', pty(size)))
      expect(error).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(`pty.${name}`) })
    }
    expect((await resize({ cols: -1, rows: 24 })).json).toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('cols'),
    })
    await sandbox.rpc('process.Process/SendInput', { process: { pid }, input: { pty: base64('stty size\n') } })
    await until(events, printed('7 65535'))
    await resize({})
    await sandbox.rpc('process.Process/SendInput', { process: { pid }, input: { pty: base64('stty size\n') } })
    await until(events, printed('0 0'))
    await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' })
    leave()
  })

  test('a command without one has no size to change', async () => {
    const { pid, leave } = await begin(sandbox, start('exec sleep 1000'))
    const refused = await sandbox.rpc('process.Process/Update', { process: { pid }, pty: { size: { cols: 1, rows: 1 } } })
    expect(refused.json).toMatchObject({ code: 'invalid_argument' })
    await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' })
    leave()
  })
})
