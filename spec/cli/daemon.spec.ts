import { lstat, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SmallDisk } from '../walls/small-disk.ts'
import { exported, sharedDaemonLine } from './daemon-line.ts'

const daemon = sharedDaemonLine()

describe('the daemon itself', () => {
  test('the three daemon.variables are those of E2B, and work', async () => {
    expect(Object.keys(daemon().variables)).toEqual(['E2B_API_URL', 'E2B_SANDBOX_URL', 'E2B_API_KEY'])
    expect(daemon().variables['E2B_API_KEY']).toMatch(/^e2b_[0-9a-f]{40}$/)
    const listed = await fetch(`${daemon().variables['E2B_API_URL']}/v2/sandboxes`, {
      headers: { 'x-api-key': daemon().variables['E2B_API_KEY'] ?? '' },
    })
    expect(listed.status).toBe(200)
  })

  test('env prints them again, and as JSON', async () => {
    expect(exported((await daemon().line.caisson(['env'])).stdout)).toEqual(daemon().variables)
    expect(JSON.parse((await daemon().line.caisson(['env', '--json'])).stdout)).toEqual(daemon().variables)
    const env = { CAISSON_URL: 'http://daemon.example:7007', CAISSON_API_KEY: "it's" }
    const lines = (await daemon().line.caisson(['env'], { env })).stdout
    expect(lines).toContain("export E2B_API_KEY='it'\\''s'\n")
  })

  test('the key is the business of the owner of the state folder alone', async () => {
    expect((await lstat(join(daemon().line.home, 'key'))).mode & 0o077).toBe(0)
    expect(await readFile(join(daemon().line.home, 'daemon.log'), 'utf8')).not.toContain(daemon().variables['E2B_API_KEY'])
  })

  test('a second one on the same state folder says so, and where the first is', async () => {
    for (const words of [[], ['--detach']]) {
      const second = await daemon().line.caisson(['up', '--port', '0', ...words])
      expect(second).toMatchObject({ exitCode: 125, stdout: '' })
      expect(second.stderr).toMatch(/^caisson: DAEMON_RUNNING: [^\n]*\n$/)
    }
    expect((await daemon().line.caisson(['ps'])).exitCode).toBe(0)
  })

  test('a port that is taken is named', async () => {
    const { port } = new URL(daemon().url)
    const env = { CAISSON_HOME: join(daemon().line.folder, 'other') }
    const second = await daemon().line.caisson(['up', '--port', port, '--detach'], { env })
    expect(second.exitCode).toBe(125)
    expect(second.stderr).toMatch(new RegExp(`^caisson: ADDRESS_UNUSABLE: [^\\n]*${port}[^\\n]*--port[^\\n]*\\n$`))
  })

  test('a full disk is named, though the log has no room for what the daemon says of it', async () => {
    using disk = new SmallDisk(join(daemon().line.folder, 'full'), 64)
    disk.fill()
    const second = await daemon().line.caisson(['up', '--port', '0', '--detach'], { env: { CAISSON_HOME: disk.path } })
    expect(second).toMatchObject({ exitCode: 125, stdout: '' })
    expect(second.stderr).toMatch(/^caisson: HOME_UNUSABLE: [^\n]*daemon\.log takes nothing [^\n]*ENOSPC[^\n]*Make room[^\n]*\n$/)
  })

  test.each([
    ['a port that is none', ['up', '--port', '70000'], 'BAD_REQUEST', /70000/],
    ['a port that is no number', ['up', '--port', 'http'], 'BAD_REQUEST', /http/],
    ['a certificate for nothing', ['up', '--tls'], 'BAD_REQUEST', /--domain/],
    ['an id that is none', ['kill', '../keys'], 'BAD_REQUEST', /keys/],
    ['an id of nothing', ['exec', 'i0123456789abcdefghi', '--', 'true'], 'NOT_FOUND', /i0123456789abcdefghi/],
    ['a command that is missing', ['exec', 'i0123456789abcdefghi'], 'BAD_REQUEST', /no command/],
    ['a sandbox that is missing', ['exec'], 'BAD_REQUEST', /ID/],
    ['a shell without a terminal', ['shell', 'i0123456789abcdefghi'], 'BAD_REQUEST', /terminal/],
    ['two places here', ['cp', 'a', 'b'], 'BAD_REQUEST', /ID:PATH/],
    ['two places inside', ['cp', 'i1:a', 'i2:b'], 'BAD_REQUEST', /ID:PATH/],
    ['no copies', ['fork', '--count', '0', 'i1'], 'BAD_SIZE', /"0"/],
    ['no end', ['resume', '--timeout', 'none', 'i1'], 'BAD_SIZE', /end/],
    ['an owner that is none', ['keys', 'create', 'A B'], 'BAD_REQUEST', /owner/],
    ['nothing to do with keys', ['keys', 'melt'], 'BAD_REQUEST', /melt/],
    ['a log of nothing', ['logs', 'i0123456789abcdefghi'], 'NOT_FOUND', /i0123456789abcdefghi/],
  ] as const)('%s is one line and 125', async (_, words, code, message) => {
    const ended = await daemon().line.caisson([...words])
    expect(ended.stderr).toMatch(new RegExp(`^caisson: ${code}: [^\\n]*\\n$`))
    expect(ended.stderr).toMatch(message)
    expect(ended).toMatchObject({ exitCode: 125, stdout: '' })
  })

  test.each([['ps'], ['exec', 'i1', '--', 'true'], ['kill', 'i1'], ['keys'], ['logs', 'i1'], ['cp', 'x', 'i1:']])(
    '%s without a daemon says what starts one',
    async (...words) => {
      const ended = await daemon().line.caisson(words, { env: { CAISSON_HOME: join(daemon().line.folder, 'none') } })
      expect(ended.stderr).toMatch(/^caisson: UNSUPPORTED: [^\n]*caisson up[^\n]*\n$/)
      expect(ended.exitCode).toBe(125)
    },
  )
})

describe('the end of a daemon', () => {
  test('killed, it takes nothing with it: sandboxes live on, and the next one has them', async () => {
    const held = await daemon().sandbox()
    const running = await held.commands.start('sleep 600')
    const lost = running.wait()
    process.kill(await daemon().pid(), 'SIGKILL')
    await expect(lost).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
    expect((await daemon().line.caisson(['ps'])).stderr).toMatch(/^caisson: UNSUPPORTED: /)
    expect((await daemon().line.caisson(['run', '-c', 'print(1)'])).stdout).toBe('1\n')
    expect((await daemon().again()).exitCode).toBe(0)
    expect((await daemon().line.caisson(['exec', held.id, '--', 'pgrep', '-c', '^sleep$'])).stdout).toBe('1\n')
    expect(await held.commands.run('echo back')).toMatchObject({ stdout: 'back\n' })
  })

  test('down ends it, and once more is an error', async () => {
    expect(await daemon().line.caisson(['down'])).toEqual({ exitCode: 0, stdout: '', stderr: '' })
    expect(await readdir(daemon().line.home)).not.toContain('daemon.json')
    expect((await daemon().line.caisson(['down'])).stderr).toMatch(/^caisson: DAEMON_UNREACHABLE: /)
  })

  test('what an earlier one left damaged is named, and keeps no new one from starting', async () => {
    await writeFile(join(daemon().line.home, 'daemon.json'), '{"url":')
    expect((await daemon().line.caisson(['ps'])).stderr).toMatch(/^caisson: HOME_UNUSABLE: [^\n]*daemon\.json[^\n]*caisson up[^\n]*\n$/)
    expect((await daemon().again()).exitCode).toBe(0)
    expect((await daemon().line.caisson(['ps'])).exitCode).toBe(0)
  })

  test('in the foreground it prints the same, and ends with SIGTERM or Ctrl-C', async () => {
    await daemon().line.caisson(['down'])
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      let told = false
      const ended = await daemon().line.caisson(['up', '--port', '0'], {
        onOutput: (text, child) => {
          if (told || !text.includes('caisson: the daemon is at')) return
          told = true
          child.kill(name)
        },
      })
      expect(ended.exitCode).toBe(0)
      expect(Object.keys(exported(ended.stdout))).toEqual(Object.keys(daemon().variables))
    }
    expect((await daemon().again()).exitCode).toBe(0)
  })
})
