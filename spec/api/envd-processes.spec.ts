import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { base64, basic, collect, EnvdSandbox, type Envelope, envelope, envelopesOf, start } from './envd-sandbox.ts'

let sandbox: EnvdSandbox
beforeAll(async () => {
  sandbox = await EnvdSandbox.open({ envVars: { GREETING: 'hello' } })
})
afterAll(() => sandbox[Symbol.asyncDispose]())

const START = 'process.Process/Start'
const CONNECT = 'process.Process/Connect'

/** Starts a command and returns when it has said that it runs. */
async function begin(body: unknown, headers: Record<string, string> = {}) {
  const gone = new AbortController()
  const events = sandbox.stream(START, body, headers, gone.signal)
  const first = (await events.next()).value as Envelope
  return { pid: first.json.event.start.pid as number, events, leave: () => gone.abort() }
}

async function until(events: AsyncGenerator<Envelope>, isThere: (event: Envelope['json']) => boolean): Promise<Envelope['json']> {
  for (;;) {
    const next = await events.next()
    if (next.done === true) throw new Error('the stream ended first')
    if (next.value.flags === 0 && isThere(next.value.json.event)) return next.value.json.event
  }
}

const printed = (text: string) => (event: Envelope['json']) =>
  Buffer.from(event.data?.stdout ?? event.data?.pty ?? '', 'base64')
    .toString()
    .includes(text)

describe('a command', () => {
  test('starts, prints on both channels, ends with its status', async () => {
    const run = await sandbox.run('echo out; echo err >&2; exit 3')
    expect(run).toMatchObject({ stdout: 'out\n', stderr: 'err\n' })
    expect(run.pid).toBeGreaterThan(1)
    expect(run.end).toEqual({ exitCode: 3, exited: true, status: 'exit status 3', error: 'exit status 3' })
    expect(run.error).toBeUndefined()
    // What is zero or empty is left out, as proto3's JSON has it.
    expect((await sandbox.run('true')).end).toEqual({ exited: true, status: 'exit status 0' })
  })

  test('that a signal ended says which', async () => {
    expect((await sandbox.run('kill -9 $$')).end).toEqual({ exitCode: -1, status: 'signal: killed', error: 'signal: killed' })
    expect((await sandbox.run('kill -SEGV $$')).end.status).toBe('signal: segmentation fault')
  })

  test('sees the variables of the sandbox, of the call, and those that are always there', async () => {
    const wanted = 'echo $GREETING $MINE $E2B_SANDBOX $E2B_SANDBOX_ID $HOME $USER $LOGNAME; pwd'
    const { stdout } = await sandbox.run(wanted, { envs: { MINE: 'mine' } })
    expect(stdout).toBe(`hello mine true ${sandbox.id} /home/user user user\n/home/user\n`)
    expect((await sandbox.run('echo $GREETING', { envs: { GREETING: 'bye' } })).stdout).toBe('bye\n')
  })

  test('runs in the folder that is named, from the home when it is relative', async () => {
    expect((await sandbox.run('mkdir -p here; pwd', { cwd: '/tmp' })).stdout).toBe('/tmp\n')
    await sandbox.run('mkdir -p here')
    expect((await sandbox.run('pwd', { cwd: 'here' })).stdout).toBe('/home/user/here\n')
    expect((await sandbox.run('pwd', { cwd: '/nowhere' })).error).toEqual({
      code: 'invalid_argument',
      message: "cwd '/nowhere' does not exist",
    })
  })

  test('runs as the user of the Basic header', async () => {
    expect((await sandbox.run('id -un', {}, basic('root'))).stdout).toBe('root\n')
    expect((await sandbox.run('id -un', {}, basic('user'))).stdout).toBe('user\n')
    for (const name of ['nobody-here', '../etc', 'a:b']) {
      const { error } = await sandbox.run('true', {}, basic(name))
      expect(error).toMatchObject({ code: 'unauthenticated', message: `invalid username: '${name.split(':')[0]}'` })
      if (name === 'a:b') break
    }
  })

  test('that there is no program for is refused', async () => {
    const run = await collect(sandbox.stream(START, { process: { cmd: '/bin/none' } }))
    expect(run.error.code).toBe('invalid_argument')
    expect(run.error.message).toContain('/bin/none')
  })

  test('hands over bytes as they are, in pieces that clients are used to', async () => {
    const sizes: number[] = []
    let all = Buffer.alloc(0)
    for await (const { flags, json } of sandbox.stream(START, start('head -c 300000 /dev/urandom | tee /tmp/random'))) {
      const data = flags === 0 ? json.event.data?.stdout : undefined
      if (data === undefined) continue
      const piece = Buffer.from(data, 'base64')
      sizes.push(piece.length)
      all = Buffer.concat([all, piece])
    }
    const file = Buffer.from(await (await sandbox.fetch('/files?path=/tmp/random')).arrayBuffer())
    expect(all.equals(file)).toBe(true)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(32 * 1024)
  })
})

describe('time', () => {
  test('a command that takes longer than its client waits is killed', async () => {
    const run = await sandbox.run('echo $$; exec sleep 1000', {}, { 'connect-timeout-ms': '700' })
    expect(run.error.code).toBe('deadline_exceeded')
    expect((await sandbox.run(`kill -0 ${run.stdout}`)).end.exitCode).toBe(1)
  })

  test('also when nobody listens any more', async () => {
    const { pid, leave } = await begin(start('exec sleep 1000'), { 'connect-timeout-ms': '1000' })
    leave()
    const run = await collect(sandbox.stream(CONNECT, { process: { pid } }))
    expect(run).toMatchObject({ pid, error: { code: 'deadline_exceeded' } })
  })

  test('a deadline of whoever only listens ends the listening', async () => {
    const { pid, leave } = await begin(start('exec sleep 1000'))
    const run = await collect(sandbox.stream(CONNECT, { process: { pid } }, { 'connect-timeout-ms': '100' }))
    expect(run.error.code).toBe('deadline_exceeded')
    expect((await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' })).json).toEqual({})
    leave()
  })

  test('silence is broken by keepalives', async () => {
    const run = await sandbox.run('sleep 2.5', {}, { 'keepalive-ping-interval': '1' })
    expect(run.keepalives).toBeGreaterThanOrEqual(1)
    expect(run.end.exited).toBe(true)
  })
})

describe('listeners', () => {
  test('a command outlives its client, and others may come', async () => {
    const { pid, leave } = await begin(start('sleep 1.5; echo late; exit 7'))
    leave()
    const [one, other] = await Promise.all([1, 2].map(() => collect(sandbox.stream(CONNECT, { process: { pid } }))))
    expect(one).toMatchObject({ pid, stdout: 'late\n', end: { exitCode: 7 } })
    expect(other).toEqual(one)
  })

  test('the end is told to those who come a moment later; to no others', async () => {
    const { pid } = await sandbox.run('echo gone; exit 5')
    const late = await collect(sandbox.stream(CONNECT, { process: { pid } }))
    expect(late).toMatchObject({ pid, stdout: '', end: { exitCode: 5 } })
    const never = await collect(sandbox.stream(CONNECT, { process: { pid: 999_999 } }))
    expect(never.error).toMatchObject({ code: 'not_found', message: 'process with pid 999999 not found' })
  })

  test('one that nobody listens to never waits for anybody', async () => {
    const { pid, leave } = await begin(start('head -c 50000000 /dev/zero; touch /tmp/all-printed; exec sleep 1000'))
    leave()
    const seen = await sandbox.run('until test -e /tmp/all-printed; do sleep 0.05; done; echo yes')
    expect(seen.stdout).toBe('yes\n')
    await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' })
  })

  test('one that does not read holds up the command, until it has gone', async () => {
    const slow = await begin(start('for i in $(seq 60); do head -c 1000000 /dev/zero; echo $i > /tmp/progress; done'))
    const written = async () => Number((await sandbox.run('cat /tmp/progress')).stdout)
    const settled = async () => {
      for (let last = -1; ; ) {
        const now = await written()
        if (now === last) return now
        last = now
        await sandbox.run('sleep 0.3')
      }
    }
    expect(await settled()).toBeLessThan(60)
    slow.leave()
    await collect(sandbox.stream(CONNECT, { process: { pid: slow.pid } }))
    expect(await written()).toBe(60)
  })

  test('all commands are listed with what they were started with, and found by their tag', async () => {
    const { pid, leave } = await begin({ ...start('exec sleep 1000', { envs: { A: 'b' }, cwd: '/tmp' }), tag: 'my = tag' })
    const { json } = await sandbox.rpc('process.Process/List', {})
    expect(json.processes).toContainEqual({
      config: { cmd: '/bin/bash', args: ['-l', '-c', 'exec sleep 1000'], envs: { A: 'b' }, cwd: '/tmp' },
      pid,
      tag: 'my = tag',
    })
    expect((await sandbox.rpc('process.Process/SendSignal', { process: { tag: 'my = tag' }, signal: 'SIGNAL_SIGTERM' })).status).toBe(200)
    const ended = await collect(sandbox.stream(CONNECT, { process: { tag: 'my = tag' } }))
    expect(ended).toMatchObject({ pid, end: { status: 'signal: terminated' } })
    expect((await sandbox.rpc('process.Process/List', {})).json.processes ?? []).not.toContainEqual(expect.objectContaining({ pid }))
    leave()
  })
})

describe('input', () => {
  test('goes to the command, and its end too; twice is once', async () => {
    const { pid, events } = await begin({ ...start('cat; echo end'), stdin: true })
    expect((await sandbox.rpc('process.Process/SendInput', { process: { pid }, input: { stdin: base64('typed\n') } })).json).toEqual({})
    await until(events, printed('typed'))
    expect((await sandbox.rpc('process.Process/CloseStdin', { process: { pid } })).json).toEqual({})
    expect((await sandbox.rpc('process.Process/CloseStdin', { process: { pid } })).status).toBeLessThan(500)
    expect((await until(events, (event) => event.end !== undefined)).end.exited).toBe(true)
  })

  test('is not taken by a command without a pipe, nor as the wrong kind', async () => {
    const { pid, leave } = await begin(start('exec sleep 1000'))
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
    const { pid, events } = await begin({ process: { cmd: 'cat' } })
    await sandbox.rpc('process.Process/SendInput', { process: { pid }, input: { stdin: base64('x') } })
    await until(events, printed('x'))
    await sandbox.rpc('process.Process/CloseStdin', { process: { pid } })
    expect((await until(events, (event) => event.end !== undefined)).end.status).toBe('exit status 0')
  })

  test('may come as a stream, each piece at once; the answer comes with its end', async () => {
    const { pid, events } = await begin({ ...start('cat; echo end'), stdin: true })
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
    const { pid, events } = await begin({ ...start('read line'), stdin: true })
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
    const { pid, events, leave } = await begin(pty({ cols: 80, rows: 24 }))
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
    const { pid, leave } = await begin(pty({ cols: 80, rows: 24 }))
    expect((await sandbox.rpc('process.Process/CloseStdin', { process: { pid } })).json).toMatchObject({ code: 'unknown' })
    const wrong = await sandbox.rpc('process.Process/SendInput', { process: { pid }, input: { stdin: base64('x') } })
    expect(wrong.json.code).toBe('internal')
    await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' })
    leave()
  })

  test('a command without one has no size to change', async () => {
    const { pid, leave } = await begin(start('exec sleep 1000'))
    const refused = await sandbox.rpc('process.Process/Update', { process: { pid }, pty: { size: { cols: 1, rows: 1 } } })
    expect(refused.json).toMatchObject({ code: 'invalid_argument' })
    await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' })
    leave()
  })
})

describe('signals', () => {
  test('of a command that is not there are not found', async () => {
    const answer = await sandbox.rpc('process.Process/SendSignal', { process: { pid: 999_999 }, signal: 'SIGNAL_SIGKILL' })
    expect(answer).toMatchObject({ status: 404, json: { code: 'not_found' } })
    const { pid } = await sandbox.run('true')
    expect((await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' })).status).toBe(404)
  })

  test('may have any number', async () => {
    const { pid, events } = await begin(start('trap "echo caught; exit 4" INT; echo ready; while :; do sleep 0.05; done'))
    await until(events, printed('ready'))
    await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 2 })
    await until(events, printed('caught'))
    expect((await until(events, (event) => event.end !== undefined)).end.exitCode).toBe(4)
    const refused = await sandbox.rpc('process.Process/SendSignal', { process: { tag: 'none' }, signal: 'SIGNAL_UNSPECIFIED' })
    expect(refused.json.code).toBe('not_found')
  })
})

describe('limits', () => {
  test('the one that was hit is named', async () => {
    const run = await sandbox.run('python3 -c "x = bytearray(3 << 30)"', {}, { 'caisson-client': '1' })
    expect(run.end).toMatchObject({ limit: 'memory' })
    expect(run.end.error).toContain('memory limit')
    const plain = await collect(sandbox.stream(CONNECT, { process: { pid: run.pid } }))
    expect(plain.end.error).toBe(run.end.error)
    expect(Object.keys(plain.end)).not.toContain('limit')
  })
})
