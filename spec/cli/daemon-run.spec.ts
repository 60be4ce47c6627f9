import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { DoctorReport } from '../../client/embedded.ts'
import { ours, sharedDaemonLine } from './daemon-line.ts'

const daemon = sharedDaemonLine()

describe('run, where there is a daemon', () => {
  test('goes through it, and leaves no sandbox there', async () => {
    const ended = await daemon().line.caisson(['run', '--json', '-c', 'print("hi"); {"a": 1}'])
    const { id, ...rest } = JSON.parse(ended.stdout) as { id: string }
    expect(rest).toMatchObject({ exitCode: 0, stdout: 'hi\n', results: [{ text: "{'a': 1}" }] })
    expect((await daemon().line.caisson(['logs', id])).stdout).toMatch(/ended: kill/)
    expect(await daemon().has(id)).toBe(false)
  })

  test('mounts are those of this machine', async () => {
    const words = ['run', '--mount', '.:rw', '--', 'sh', '-c', 'cat given; echo new > made-inside']
    await writeFile(join(daemon().line.work, 'given'), 'a')
    expect(await daemon().line.caisson(words)).toMatchObject({ exitCode: 0, stdout: 'a' })
    expect(await readFile(join(daemon().line.work, 'made-inside'), 'utf8')).toBe('new\n')
  })

  test.each([
    [['--', 'sh', '-c', 'exit 6'], 6, undefined],
    [['--timeout', '1s', '-c', 'while True: pass'], 124, /^caisson: LIMIT_HIT: the time limit was reached/],
    [['--memory', '128', '-c', 'a = []\nwhile True: a.append(bytearray(1 << 20))'], 137, /^caisson: LIMIT_HIT: the memory limit was hit/],
    [['--timeout', '1s', '--', 'sleep', '100'], 124, /^caisson: LIMIT_HIT: the time limit was reached/],
    [['-c', '1/0'], 1, undefined],
    [['--profile', 'lax', '-c', '1'], 125, /^caisson: PROFILE_UNKNOWN: /],
    [['--timeout', 'none', '-c', '1'], 125, /^caisson: BAD_REQUEST: [^\n]*end/],
  ])('%j ends with %i', async (words, exitCode, message) => {
    const ended = await daemon().line.caisson(['run', ...words])
    expect(ended.exitCode).toBe(exitCode)
    expect(ours(ended)).toEqual(message === undefined ? [] : [expect.stringMatching(message)])
    expect((await daemon().line.caisson(['ps', '--all', '--json'])).stdout).not.toMatch(/"template": "code-interpreter"/)
  })

  test('the plan is the daemon’s', async () => {
    const ended = await daemon().line.caisson(['run', '--dry-run', '--memory', '64', '-c', '1'])
    expect(JSON.parse(ended.stdout)).toMatchObject({ version: 1, leash: 'none', limits: { memoryBytes: 64 * 2 ** 20 } })
  })

  test('doctor asks it too', async () => {
    const report = JSON.parse((await daemon().line.caisson(['doctor', '--wall', 'container', '--json'])).stdout) as DoctorReport
    expect(report.walls.map(({ name }) => name)).toEqual(['container'])
    const { checks = [] } = report.walls[0] ?? {}
    expect(checks.map(({ check, state }) => [check, state])).toEqual([
      ['process isolation', 'proven'],
      ['file-system isolation', 'proven'],
      ['network isolation', 'proven'],
      ['CPU and memory limits', 'proven'],
      ['time limit', 'proven'],
      ['audit log', 'proven'],
      ['static analysis', 'proven'],
    ])
    expect(report.home).toBe(daemon().line.home)
  })

  test('Ctrl-C twice ends its sandbox', async () => {
    let sent = 0
    const code =
      'import time\nprint("ready", flush=True)\nwhile True:\n  try: time.sleep(100)\n  except KeyboardInterrupt: print("caught", flush=True)'
    const ended = await daemon().line.caisson(['run', '-c', code], {
      onOutput: (text, child) => {
        const wanted = text.includes('caught') ? 2 : text.includes('ready') ? 1 : 0
        for (; sent < wanted; sent += 1) child.kill('SIGINT')
      },
    })
    expect(ended).toEqual({ exitCode: 130, stdout: 'ready\ncaught\n', stderr: '' })
    expect((await daemon().line.caisson(['ps', '--all', '--json'])).stdout).not.toMatch(/"template": "code-interpreter"/)
  })
})
