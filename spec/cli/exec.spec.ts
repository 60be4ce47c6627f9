import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Sandbox } from '../../client/index.ts'
import { ours, sharedDaemonLine } from './daemon-line.ts'
import { ROOT } from './invoke.ts'

const daemon = sharedDaemonLine()

describe('exec', () => {
  let held: Sandbox
  beforeAll(async () => {
    held = await daemon().sandbox()
  })

  test('passes input, output and the exit code through, and leaves the sandbox as it was', async () => {
    const before = await held.getInfo()
    const ended = await daemon().line.caisson(['exec', held.id, '--', 'sh', '-c', 'cat; echo err >&2; exit 5'], { stdin: 'ß\n' })
    expect(ended).toEqual({ exitCode: 5, stdout: 'ß\n', stderr: 'err\n' })
    expect((await held.getInfo()).endMs).toBe(before.endMs)
  })

  test('large input and output come through whole', async () => {
    const stdin = 'x'.repeat(3_000_000)
    expect((await daemon().line.caisson(['exec', held.id, '--', 'wc', '-c'], { stdin })).stdout.trim()).toBe('3000000')
    expect((await daemon().line.caisson(['exec', held.id, '--', 'head', '-c', '3000000', '/dev/zero'])).stdout).toHaveLength(3_000_000)
  })

  test('user, folder, environment; and all of it as one document', async () => {
    const words = ['exec', '--json', '--user', 'root', '--cwd', '/tmp', '--env', 'A=1', '--env', 'NAMED', held.id, '--', 'sh', '-c']
    const ended = await daemon().line.caisson([...words, 'id -un; pwd; echo $A$NAMED; echo e >&2; exit 3'], { env: { NAMED: '2' } })
    expect(JSON.parse(ended.stdout)).toEqual({ id: held.id, exitCode: 3, stdout: 'root\n/tmp\n12\n', stderr: 'e\n' })
    expect(ended).toMatchObject({ exitCode: 3, stderr: '' })
  })

  test.each([
    [['--timeout', '300ms'], ['sleep', '60'], 124, /^caisson: LIMIT_HIT: the time limit/],
    [[], ['no-such-command'], 125, /^caisson: FILE_MISSING: there is no command no-such-command/],
    [['--cwd', '/not/there'], ['true'], 125, /^caisson: (BAD_REQUEST|FILE_MISSING): [^\n]*\/not\/there/],
    [['--user', 'nobody-here'], ['true'], 125, /^caisson: USER_UNKNOWN: [^\n]*nobody-here/],
    [[], ['sh', '-c', 'kill -9 $$'], 137, /^caisson: KILLED: /],
  ])('%j %j is %i, with one line', async (options, command, exitCode, message) => {
    const ended = await daemon().line.caisson(['exec', ...options, held.id, '--', ...command])
    expect(ended.exitCode).toBe(exitCode)
    expect(ours(ended)).toEqual([expect.stringMatching(message)])
  })

  test('Ctrl-C is for the command first, and ends it then; the sandbox lives on', async () => {
    let sent = 0
    const ended = await daemon().line.caisson(
      ['exec', held.id, '--', 'sh', '-c', 'trap "echo caught" INT; echo ready; while :; do sleep 0.1; done'],
      {
        held: true,
        onOutput: (text, child) => {
          const wanted = text.includes('caught') ? 2 : text.includes('ready') ? 1 : 0
          for (; sent < wanted; sent += 1) child.kill('SIGINT')
        },
      },
    )
    expect(ended).toEqual({ exitCode: 130, stdout: 'ready\ncaught\n', stderr: '' })
    expect((await held.commands.run('pgrep -c "^sleep$" || true')).stdout).toBe('0\n')
  })

  test('a reader who leaves ends the command, not the sandbox', async () => {
    const words = `${join(ROOT, 'caisson')} exec ${held.id} -- yes | head -n 1`
    expect(await daemon().line.invoke('bash', ['-c', words])).toMatchObject({ stdout: 'y\n' })
    await expect.poll(async () => (await held.commands.run('pgrep -c "^yes$" || true')).stdout).toBe('0\n')
  })

  test('of a paused sandbox says what resumes it', async () => {
    await held.pause()
    const ended = await daemon().line.caisson(['exec', held.id, '--', 'true'])
    expect(ended.stderr).toMatch(new RegExp(`^caisson: CONFLICT: [^\\n]*caisson resume ${held.id}[^\\n]*\\n$`))
    expect((await daemon().line.caisson(['resume', held.id])).stdout).toBe(`${held.id}\n`)
    expect((await daemon().line.caisson(['exec', held.id, '--', 'true'])).exitCode).toBe(0)
  })

  test('of a sandbox that is ended meanwhile says so', async () => {
    const short = await daemon().sandbox()
    const ended = await daemon().line.caisson(['exec', short.id, '--', 'sh', '-c', 'echo ready; sleep 60'], {
      onOutput: () => void short.kill(),
    })
    expect(ended.exitCode).toBe(137)
    expect(ours(ended)).toEqual([expect.stringMatching(/^caisson: SANDBOX_GONE: the sandbox was killed/)])
  })
})

describe('shell', () => {
  const onTerminal = (steps: unknown[], words: string[]) =>
    daemon().line.invoke(
      'python3',
      [join(ROOT, 'spec/cli/on-terminal.py'), '33x101', JSON.stringify(steps), join(ROOT, 'caisson'), ...words],
      { held: true },
    )

  test('is a terminal of the same size, which changes with this one, and ends with the code of the shell', async () => {
    const held = await daemon().sandbox()
    const steps = [
      ['\\$ ', 'stty size; echo "$TERM:$LANG"\r'],
      ['33 101\\s+\\S+:C.UTF-8\\s[\\s\\S]*\\$ ', [20, 60]],
      ['', 'until stty size | grep -q 60; do sleep 0.1; done; stty size; echo resized\r'],
      ['20 60\\s+resized\\s[\\s\\S]*\\$ ', 'sleep 60\r'],
      ['sleep 60\\s', '\u0003'],
      ['\\^C[\\s\\S]*\\$ ', 'exit 7\r'],
    ]
    const ended = await onTerminal(steps, ['shell', held.id])
    expect(ended.exitCode, ended.stdout).toBe(7)
    expect((await held.getInfo()).state).toBe('running')
    const root = await onTerminal([['# ', 'id -un; exit\r']], ['shell', '--user', 'root', held.id])
    expect(root.stdout).toMatch(/\rroot\r/)
    expect(root.exitCode).toBe(0)
  })

  test('exec has a terminal too, where there is one', async () => {
    const held = await daemon().sandbox()
    const ended = await onTerminal([], ['exec', held.id, '--', 'sh', '-c', 'test -t 0 && test -t 1 && stty size'])
    expect([ended.exitCode, ended.stdout.replaceAll('\r', '')]).toEqual([0, '33 101\n'])
  })
})
