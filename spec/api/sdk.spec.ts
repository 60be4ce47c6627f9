import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CodeResult, Door, RunningCommand } from '../../client/index.ts'
import { RemoteDoor, Sandbox } from '../../client/index.ts'
import { SpecHost } from '../walls/home.ts'
import { SpecDaemon } from './daemon.ts'

interface Doored extends AsyncDisposable {
  door: Door
}

const DOORS: Record<string, () => Promise<Doored>> = {
  'a host in this process': () => SpecHost.open(),
  'a daemon': async () => {
    const daemon = await SpecDaemon.open()
    return { door: new RemoteDoor({ url: daemon.url, key: daemon.key }), [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() }
  },
}

/** Every promise of the SDK is the same, whoever holds the sandbox. */
describe.each(Object.entries(DOORS))('a sandbox of %s', (_, open) => {
  let doored: Doored
  let sandbox: Sandbox
  const create = (options = {}) => Sandbox.create({ door: doored.door, timeoutMs: 300_000, ...options })
  beforeAll(async () => {
    doored = await open()
    sandbox = await create({ metadata: { a: 'b' }, env: { SHARED: 'yes' } })
  })
  afterAll(async () => {
    await sandbox.kill()
    await doored[Symbol.asyncDispose]()
  })

  test('has an id, and what it was told', () => {
    expect(sandbox.id).toMatch(/^[a-z][a-z0-9]{19}$/)
    expect(sandbox.metadata).toEqual({ a: 'b' })
  })

  test('runs code with state, and tells of it as it comes', async () => {
    const heard: unknown[] = []
    const first = await sandbox.runCode('import os\nx = 6\nprint("ß", os.environ["SHARED"], os.environ["OWN"])\n"a"', {
      env: { OWN: 'too' },
      onStdout: (text, atMs) => heard.push(['stdout', text, Math.abs(atMs - Date.now()) < 60_000]),
      onResult: ({ text }) => heard.push(['result', text]),
    })
    expect(first).toMatchObject({ text: "'a'", stdout: 'ß yes too\n', stderr: '', executionCount: 1 })
    expect(heard).toEqual([
      ['stdout', 'ß yes too\n', true],
      ['result', "'a'"],
    ])
    const second = await sandbox.runCode('print(x * 7)\n"OWN" in os.environ')
    expect(second).toMatchObject({ text: 'False', stdout: '42\n', executionCount: 2 })
  })

  test('an exception is a result, with a traceback of the code alone', async () => {
    const { error, text } = await sandbox.runCode('def f():\n  return 1 / 0\nf()')
    expect(error).toMatchObject({ name: 'ZeroDivisionError', value: 'division by zero' })
    expect(error?.traceback).not.toMatch(/caisson/)
    expect(text).toBeUndefined()
  })

  test('rich results, in every form', async () => {
    const { results } = await sandbox.runCode('import pandas as pd\npd.DataFrame({"a": [1, 2]})')
    expect(results).toMatchObject([{ isMainResult: true, text: expect.stringContaining('a'), html: expect.stringContaining('<table') }])
    const { results: charts } = await sandbox.runCode('import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()')
    expect(charts[0]?.png?.slice(0, 6)).toBe('iVBORw')
  })

  test('a program has its arguments and its exit code', async () => {
    const program = { path: '/home/user/a.py', args: ['x', 'y'] }
    const result = await sandbox.runCode('import sys; print(sys.argv); sys.exit(4)', { program })
    expect(result).toMatchObject({ stdout: "['/home/user/a.py', 'x', 'y']\n", exitCode: 4 })
    expect(await sandbox.runCode('exit 3', { language: 'bash' })).toMatchObject({ exitCode: 3 })
  })

  test('code is interrupted: by its time, by a call, by an abort; its state stays', async () => {
    await sandbox.runCode('kept = 1')
    const late = await sandbox.runCode('import time; time.sleep(60)', { timeoutMs: 300 })
    expect(late).toMatchObject({ limit: 'timeout', error: { name: 'KeyboardInterrupt' } })
    const asked = sandbox.runCode('print("on", flush=True); time.sleep(60)', { onStdout: () => void sandbox.interrupt() })
    expect((await asked).error?.name).toBe('KeyboardInterrupt')
    const abort = new AbortController()
    const aborted = sandbox.runCode('print("on", flush=True); time.sleep(60)', {
      signal: abort.signal,
      onStdout: () => abort.abort(new Error('enough')),
    })
    await expect(aborted).rejects.toMatchObject({ code: 'CANCELLED', cause: new Error('enough') })
    expect((await sandbox.runCode('kept')).text).toBe('1')
  })

  test('contexts', async () => {
    const context = await sandbox.contexts.create({ language: 'bash', cwd: '/tmp' })
    expect(context).toEqual({ id: expect.any(String), language: 'bash', cwd: '/tmp' })
    expect(await sandbox.contexts.list()).toContainEqual(context)
    await sandbox.runCode('v=1', { context })
    expect((await sandbox.runCode('pwd; echo "$v"', { context })).stdout).toBe('/tmp\n1\n')
    await sandbox.contexts.restart(context)
    expect((await sandbox.runCode('echo "$v"', { context: context.id })).stdout).toBe('\n')
    await sandbox.contexts.delete(context)
    await expect(sandbox.runCode('1', { context })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(sandbox.contexts.create({ language: 'cobol' })).rejects.toMatchObject({ code: 'LANGUAGE_UNKNOWN' })
    await expect(sandbox.runCode('1', { language: 'cobol' })).rejects.toMatchObject({ code: 'LANGUAGE_UNKNOWN' })
  })

  test('commands: output, input, exit code, user, folder, environment', async () => {
    expect(await sandbox.commands.run('echo out; echo err >&2; exit 3')).toEqual({ exitCode: 3, stdout: 'out\n', stderr: 'err\n' })
    expect(await sandbox.commands.run(['printf', '%s', '; rm -rf /'])).toMatchObject({ stdout: '; rm -rf /' })
    expect(await sandbox.commands.run('cat', { stdin: 'ß'.repeat(300_000) })).toMatchObject({ stdout: 'ß'.repeat(300_000) })
    const run = await sandbox.commands.run('id -un; pwd; echo "$A $SHARED"', { user: 'root', cwd: '/tmp', env: { A: '1' } })
    expect(run.stdout).toBe('root\n/tmp\n1 yes\n')
  })

  test('a command that ends by a signal, or by its time', async () => {
    expect(await sandbox.commands.run('kill -9 $$')).toEqual({ exitCode: 137, signal: 9, stdout: '', stderr: '' })
    expect(await sandbox.commands.run('kill -SEGV $$')).toMatchObject({ exitCode: 139, signal: 11 })
    expect(await sandbox.commands.run('echo on; sleep 60', { timeoutMs: 300 })).toMatchObject({
      exitCode: 124,
      limit: 'timeout',
      stdout: 'on\n',
    })
  })

  test.each([
    ['no such program', ['no-such-program'] as const, {}, /FILE_MISSING|NOT_FOUND/],
    ['no such folder', ['true'] as const, { cwd: '/not/there' }, /FILE_MISSING|BAD_REQUEST/],
    ['no such user', ['true'] as const, { user: 'nobody-here' }, /USER_UNKNOWN/],
    ['a time that is none', ['true'] as const, { timeoutMs: 0 }, /BAD_REQUEST/],
    ['half of a character', ['echo', '\ud83d'] as const, {}, /BAD_REQUEST/],
    ['a variable that is none', ['true'] as const, { env: { 'A=B': '1' } }, /BAD_REQUEST/],
  ])('%s: refused by name', async (_, command, options, code) => {
    await expect(sandbox.commands.run(command, options)).rejects.toMatchObject({ code: expect.stringMatching(code) })
  })

  test('a started command takes input and signals, and its output has one reader', async () => {
    const running = await sandbox.commands.start(
      'trap "echo caught; exit 5" INT; echo on; read x; echo "$x"; while :; do sleep 0.1; done',
      {
        stdin: true,
      },
    )
    let text = ''
    for await (const { bytes } of running.output) {
      text += Buffer.from(bytes).toString()
      if (text === 'on\n') await running.sendStdin('hello\n')
      if (text === 'on\nhello\n') await running.kill('SIGINT')
    }
    expect(text).toBe('on\nhello\ncaught\n')
    expect((await running.wait()).exitCode).toBe(5)
  })

  test('a terminal has a size, and another one later', async () => {
    let text = ''
    const running: RunningCommand = await sandbox.commands.start(['/bin/bash', '--norc', '-i'], {
      pty: { columns: 77, rows: 22 },
      onPty: (bytes) => {
        text += Buffer.from(bytes).toString()
      },
    })
    await running.sendStdin('stty size\n')
    await expect.poll(() => text).toMatch(/22 77\r\n/)
    await running.resize({ columns: 99, rows: 33 })
    await running.sendStdin('stty size\n')
    await expect.poll(() => text).toMatch(/33 99\r\n/)
    await running.sendStdin('exit 6\n')
    expect((await running.wait()).exitCode).toBe(6)
  })

  test('an abort kills the command', async () => {
    const abort = new AbortController()
    const running = sandbox.commands.run('echo on; sleep 600', { signal: abort.signal, onStdout: () => abort.abort(new Error('enough')) })
    await expect(running).rejects.toMatchObject({ code: 'CANCELLED', cause: new Error('enough') })
    await expect.poll(async () => (await sandbox.commands.run('pgrep -c "^sleep$" || true')).stdout).toBe('0\n')
  })

  test('files: text, bytes, streams, parts, modes, attributes', async () => {
    const { files } = sandbox
    const written = await files.write('/home/user/d/ä b.txt', 'ß1', { mode: 0o640, attributes: { 'my name': 'ü' } })
    expect(written).toMatchObject({ path: '/home/user/d/ä b.txt', name: 'ä b.txt', kind: 'file', size: 3, mode: 0o640, owner: 'user' })
    expect(written.attributes).toEqual({ 'my name': 'ü' })
    await files.write('/home/user/d/ä b.txt', Buffer.from('2'), { append: true })
    expect(await files.read('d/ä b.txt')).toBe('ß12')
    expect(await files.read('d/ä b.txt', { offset: 2, length: 1 })).toBe('1')
    expect(await files.read('d/ä b.txt', { offset: 100 })).toBe('')
    expect(await files.read('d/ä b.txt', { format: 'bytes', length: 0 })).toEqual(new Uint8Array())
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for (let piece = 0; piece < 64; piece += 1) yield Buffer.alloc(65_536, piece)
    }
    expect(await files.write('big', pieces())).toMatchObject({ size: 64 * 65_536 })
    let bytes = 0
    for await (const piece of await files.read('big', { format: 'stream' })) bytes += piece.length
    expect(bytes).toBe(64 * 65_536)
    await files.write('empty', '')
    expect(await files.read('empty')).toBe('')
    expect(await files.setAttributes('empty', { other: '1' })).toMatchObject({ attributes: { other: '1' } })
    expect(await files.read('/proc/self/status')).toContain('Name:')
  })

  test('folders: made, listed, moved, removed, and links that are links', async () => {
    const { files, commands } = sandbox
    expect(await files.makeDir('f/g')).toMatchObject({ kind: 'directory', path: '/home/user/f/g' })
    expect(await files.makeDir('f/g')).toMatchObject({ kind: 'directory' })
    await files.write('f/file', 'x')
    await commands.run('ln -s file f/link; ln -s /nowhere f/dangling; mkfifo f/pipe')
    const kinds = (await files.list('f', { depth: 2 })).map(({ name, kind }) => [name, kind])
    expect(kinds.sort()).toEqual([
      ['dangling', 'symlink'],
      ['file', 'file'],
      ['g', 'directory'],
      ['link', 'symlink'],
      ['pipe', 'other'],
    ])
    expect(await files.stat('f/link')).toMatchObject({ kind: 'symlink' })
    expect(await files.stat('f/link', { follow: true })).toMatchObject({ kind: 'file', size: 1 })
    expect(await files.move('f/file', 'f/g/file')).toMatchObject({ path: '/home/user/f/g/file' })
    expect(await files.exists('f/file')).toBe(false)
    await files.remove('f')
    expect(await files.exists('f')).toBe(false)
  })

  test.each([
    ['read what is not there', (held: Sandbox) => held.files.read('missing'), 'FILE_MISSING'],
    ['read a folder', (held: Sandbox) => held.files.read('/tmp'), 'FILE_KIND'],
    ['read a pipe', (held: Sandbox) => held.files.read('pipe'), 'FILE_KIND'],
    ['read what is forbidden', (held: Sandbox) => held.files.read('/tmp/secret'), 'FILE_DENIED'],
    ['write where it is forbidden', (held: Sandbox) => held.files.write('/usr/x', ''), 'FILE_DENIED'],
    ['make a folder over a file', (held: Sandbox) => held.files.makeDir('plain'), 'FILE_EXISTS'],
    ['move what is not there', (held: Sandbox) => held.files.move('missing', 'x'), 'FILE_MISSING'],
    ['list what is not there', (held: Sandbox) => held.files.list('missing'), 'FILE_MISSING'],
    ['watch what is not there', (held: Sandbox) => held.files.watch('missing')[Symbol.asyncIterator]().next(), 'FILE_MISSING'],
    ['a part before the beginning', (held: Sandbox) => held.files.read('plain', { offset: -1 }), 'BAD_REQUEST'],
    ['a user who is not there', (held: Sandbox) => held.files.read('plain', { user: 'nobody-here' }), 'USER_UNKNOWN'],
  ])('%s: the code says what was wrong', async (_, work, code) => {
    await sandbox.commands.run('mkfifo pipe; echo x > plain')
    await sandbox.files.write('/tmp/secret', 'x', { user: 'root', mode: 0o600 })
    await expect(work(sandbox)).rejects.toMatchObject({ code })
  })

  test('changes in a folder, from the call on', async () => {
    const changes = sandbox.files.watch('/home/user', { includeEntry: true })
    await sandbox.files.write('watched', 'x')
    for await (const { kind, name, entry } of changes) {
      expect([kind, name, entry?.path]).toEqual(['create', 'watched', '/home/user/watched'])
      break
    }
  })

  test('figures', async () => {
    const { memoryUsedBytes, memoryTotalBytes, diskTotalBytes, cpuUsedUs, processes } = await sandbox.metrics()
    expect(memoryUsedBytes).toBeGreaterThan(0)
    expect(memoryTotalBytes).toBe(1024 * 1024 * 1024)
    expect(diskTotalBytes).toBeGreaterThan(memoryUsedBytes)
    expect(cpuUsedUs).toBeGreaterThan(0)
    expect(processes).toBeGreaterThan(0)
  })

  test('a limit that ends the sandbox ends what runs in it, and is named', async () => {
    await using command = await create({ memoryMiB: 64, profile: 'default' })
    const eaten = await command.commands.run(['python3', '-c', 'a = []\nwhile True: a.append(bytearray(1 << 20))'])
    expect(eaten).toMatchObject({ exitCode: 137, limit: 'memory' })
    expect((await command.ended).reason).toBe('memory')
    await using code = await create({ memoryMiB: 256 })
    const result: CodeResult = await code.runCode('a = []\nwhile True: a.append(bytearray(1 << 20))')
    expect(result).toMatchObject({ limit: 'memory' })
    await expect(code.runCode('1')).rejects.toMatchObject({ code: 'SANDBOX_GONE' })
  })

  test('the end: what waits is told, and everything later; kill says why, again and again', async () => {
    const held = await create()
    const ended = held.ended
    const command = held.commands.run('sleep 600')
    const code = held.runCode('import time; time.sleep(600)')
    const both = Promise.allSettled([command, code])
    await held.commands.run('until pgrep "^sleep$"; do sleep 0.1; done')
    expect((await held.kill()).reason).toBe('kill')
    expect(await both).toMatchObject([{ reason: { code: 'SANDBOX_GONE' } }, { reason: { code: 'SANDBOX_GONE' } }])
    expect((await ended).reason).toBe('kill')
    expect((await held.kill()).reason).toBe('kill')
    for (const work of [() => held.files.read('x'), () => held.commands.run('true'), () => held.runCode('1'), () => held.metrics()]) {
      await expect(work()).rejects.toMatchObject({ code: 'SANDBOX_GONE', message: expect.stringContaining('kill') })
    }
  })

  test('what cannot be had is refused by name', async () => {
    await expect(create({ memoryMiB: 1 })).rejects.toMatchObject({ code: 'BAD_REQUEST', message: expect.stringContaining('memoryMiB') })
    await expect(create({ profile: 'lax' })).rejects.toMatchObject({ code: 'PROFILE_UNKNOWN' })
    await expect(create({ template: 'gentoo' })).rejects.toMatchObject({ code: 'TEMPLATE_UNKNOWN' })
    await expect(create({ colour: 'red' })).rejects.toMatchObject({ code: 'BAD_REQUEST', message: expect.stringContaining('colour') })
    await expect(create({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'CANCELLED' })
  })
})
