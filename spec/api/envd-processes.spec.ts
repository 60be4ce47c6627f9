import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { basic, begin, collect, EnvdSandbox, printed, start, until } from './envd-sandbox.ts'

let sandbox: EnvdSandbox
beforeAll(async () => {
  sandbox = await EnvdSandbox.open({ envVars: { GREETING: 'hello', 'ODD-ONE': '1' } })
})
afterAll(() => sandbox[Symbol.asyncDispose]())

const START = 'process.Process/Start'
const CONNECT = 'process.Process/Connect'

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
    expect((await sandbox.run('cat /run/e2b/.E2B_SANDBOX /run/e2b/.E2B_SANDBOX_ID')).stdout).toBe(`true\n${sandbox.id}\n`)
    expect((await sandbox.run('echo $GREETING', { envs: { GREETING: 'bye' } })).stdout).toBe('bye\n')
  })

  test('sees those that no shell could set: whole environments are handed on', async () => {
    const envs = { 'ProgramFiles(x86)': 'C:\\', 'npm_config_//host/:_auth': 'a', 'BASH_FUNC_hi%%': '() { echo hi; }' }
    const { stdout } = await sandbox.run("hi; env -0 | tr '\\0' '\\n' | grep -aE '^(ODD|Prog|npm_config_/)' | LC_ALL=C sort", { envs })
    expect(stdout).toBe('hi\nODD-ONE=1\nProgramFiles(x86)=C:\\\nnpm_config_//host/:_auth=a\n')
    for (const name of ['', 'A=B', 'A\0']) {
      const refused = { code: 'invalid_argument', message: expect.stringContaining('not a name of a variable') }
      expect((await sandbox.run('true', { envs: { [name]: 'x' } })).error).toMatchObject(refused)
    }
  })

  test("finds E2B's code interpreter well at its port, from where it runs nothing; who is slow there is let go", async () => {
    const ask = (what: string) => `curl -s -w ' %{http_code}\\n' --max-time 60 ${what}`
    const url = 'http://localhost:49999'
    const { stdout } = await sandbox.run(`${ask(`${url}/health`)}; ${ask(`-d '{"code":"1"}' ${url}/execute`)}; ${ask(`${url}/health?x`)}`)
    expect(stdout).toBe('"OK" 200\ninside a sandbox only GET /health is answered: code is run from outside it\n 404\n"OK" 200\n')
    const idle = 'for i in {1..9}; do exec {slow}<>/dev/tcp/127.0.0.1/49999; done'
    expect((await sandbox.run(`${idle}; ${ask(`${url}/health`)}`)).stdout).toBe('"OK" 200\n')
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

  test('may be longer than its record, which is not cut in the middle of a character', async () => {
    for (const at of [4096, 16_384]) {
      expect((await sandbox.run(`: '${'x'.repeat(at - 4)}\u{1f600}${'x'.repeat(99)}'; echo on`)).stdout).toBe('on\n')
    }
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
    // The signal is sent; until it is reaped, its number is there.
    const gone = `for _ in $(seq 100); do kill -0 ${run.stdout.trim()} 2>/dev/null || exit 1; sleep 0.1; done`
    expect((await sandbox.run(gone)).end.exitCode).toBe(1)
  })

  test('also when nobody listens any more', async () => {
    const { pid, leave } = await begin(sandbox, start('exec sleep 1000'), { 'connect-timeout-ms': '1000' })
    leave()
    const run = await collect(sandbox.stream(CONNECT, { process: { pid } }))
    expect(run).toMatchObject({ pid, error: { code: 'deadline_exceeded' } })
  })

  test('a deadline of whoever only listens ends the listening', async () => {
    const { pid, leave } = await begin(sandbox, start('exec sleep 1000'))
    const run = await collect(sandbox.stream(CONNECT, { process: { pid } }, { 'connect-timeout-ms': '100' }))
    expect(run.error.code).toBe('deadline_exceeded')
    expect((await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' })).json).toEqual({})
    leave()
  })

  test('silence is broken by keepalives', async () => {
    const run = await sandbox.run('sleep 2.5', {}, { 'keepalive-ping-interval': '1' })
    expect(run.keepalives).toBeGreaterThanOrEqual(1)
    for (const asked of ['0.001', '1e-3', '-1', 'often']) {
      expect((await sandbox.run('sleep 0.3', {}, { 'keepalive-ping-interval': asked })).keepalives, asked).toBe(0)
    }
    expect(run.end.exited).toBe(true)
  })
})

describe('listeners', () => {
  test('a command outlives its client, and others may come', async () => {
    const { pid, leave } = await begin(sandbox, start('sleep 1.5; echo late; exit 7'))
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
    const { pid, leave } = await begin(sandbox, start('head -c 50000000 /dev/zero; touch /tmp/all-printed; exec sleep 1000'))
    leave()
    const seen = await sandbox.run('until test -e /tmp/all-printed; do sleep 0.05; done; echo yes')
    expect(seen.stdout).toBe('yes\n')
    await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' })
  })

  test('one that does not read holds up the command, until it has gone', async () => {
    const slow = await begin(sandbox, start('for i in $(seq 60); do head -c 1000000 /dev/zero; echo $i > /tmp/progress; done'))
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
    const { pid, leave } = await begin(sandbox, { ...start('exec sleep 1000', { envs: { A: 'b' }, cwd: '/tmp' }), tag: 'my = tag' })
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

describe('signals', () => {
  test('of a command that is not there are not found', async () => {
    const answer = await sandbox.rpc('process.Process/SendSignal', { process: { pid: 999_999 }, signal: 'SIGNAL_SIGKILL' })
    expect(answer).toMatchObject({ status: 404, json: { code: 'not_found' } })
    const { pid } = await sandbox.run('true')
    expect((await sandbox.rpc('process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' })).status).toBe(404)
  })

  test('may have any number', async () => {
    const { pid, events } = await begin(sandbox, start('trap "echo caught; exit 4" INT; echo ready; while :; do sleep 0.05; done'))
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
