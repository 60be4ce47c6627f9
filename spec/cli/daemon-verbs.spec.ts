import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { RemoteDoor, Sandbox } from '../../client/index.ts'
import { ours, sharedDaemonLine } from './daemon-line.ts'
import { ROOT } from './invoke.ts'

const daemon = sharedDaemonLine()

describe('ps', () => {
  test('shows what runs, and with --all what is paused', async () => {
    const one = await daemon().sandbox({ metadata: { task: 'a b\u001b[2J' } })
    const two = await daemon().sandbox()
    await two.pause()
    const short = (await daemon().line.caisson(['ps'])).stdout
    expect(short).toMatch(/^ID +TEMPLATE +STATE +AGE +ENDS IN +CPUS +MEMORY +METADATA\n/)
    expect(short).toMatch(new RegExp(`^${one.id} +base +running +\\d+s +9m +1 +\\d+ MiB +task=a b \\[2J$`, 'm'))
    expect(short).not.toContain(two.id)
    expect((await daemon().line.caisson(['ps', '--all'])).stdout).toMatch(new RegExp(`^${two.id} +base +paused`, 'm'))
    const told = JSON.parse((await daemon().line.caisson(['ps', '--all', '--json'])).stdout) as { id: string }[]
    expect(told.find(({ id }) => id === one.id)).toMatchObject({ state: 'running', template: 'base', metadata: { task: 'a b\u001b[2J' } })
    expect((await daemon().line.caisson(['kill', one.id, two.id])).stdout).toBe(`${one.id}\n${two.id}\n`)
  })
})

describe('the life of sandboxes', () => {
  test('pause, resume, kill: each that worked is printed, each that did not is a line', async () => {
    const [one, two] = [await daemon().sandbox(), await daemon().sandbox()]
    await one.commands.run('echo kept > f')
    expect((await daemon().line.caisson(['pause', one.id])).stdout).toBe(`${one.id}\n`)
    const again = await daemon().line.caisson(['pause', one.id, two.id])
    expect(again).toMatchObject({ exitCode: 125, stdout: `${two.id}\n` })
    expect(ours(again)).toEqual([expect.stringMatching(/^caisson: CONFLICT: /)])
    expect((await daemon().line.caisson(['resume', '--timeout', '30m', one.id, two.id])).exitCode).toBe(0)
    expect((await one.getInfo()).endMs - Date.now()).toBeGreaterThan(20 * 60_000)
    expect(await one.files.read('f')).toBe('kept\n')
    const killed = await daemon().line.caisson(['kill', one.id, 'i0123456789abcdefghi', two.id])
    expect(killed).toMatchObject({ exitCode: 125, stdout: `${one.id}\n${two.id}\n` })
    expect(ours(killed)).toEqual([expect.stringMatching(/^caisson: NOT_FOUND: [^\n]*i0123456789abcdefghi/)])
  })

  test('kill --all: those of the key, when somebody has said yes', async () => {
    const made = await daemon().line.caisson(['keys', 'create', 'carol'])
    const env = { CAISSON_URL: daemon().url, CAISSON_API_KEY: made.stdout.trim(), CAISSON_HOME: join(daemon().line.folder, 'elsewhere') }
    const door = new RemoteDoor({ url: env.CAISSON_URL, key: env.CAISSON_API_KEY })
    const [foreign, one, two] = [
      await daemon().sandbox(),
      await Sandbox.create({ door, template: 'base' }),
      await Sandbox.create({ door, template: 'base' }),
    ]
    await two.pause()
    const killed = (words: string[]) => daemon().line.caisson(['kill', ...words], { env })
    for (const words of [['--all'], ['--all', '--yes', one.id], ['--yes', one.id], []]) {
      expect(await killed(words)).toMatchObject({ exitCode: 125, stdout: '', stderr: expect.stringMatching(/^caisson: BAD_REQUEST: /) })
    }
    const asked = async (answer: string) => {
      const steps = JSON.stringify([['\\[y/N\\]', answer]])
      const words = [join(ROOT, 'spec/cli/on-terminal.py'), '33x101', steps, join(ROOT, 'caisson'), 'kill', '--all']
      return await daemon().line.invoke('python3', words, { env })
    }
    for (const answer of ['\r', 'no\r', '\u0004', '\u0003']) {
      const { exitCode, stdout } = await asked(answer)
      expect([stdout, exitCode]).toEqual([expect.stringContaining('This ends 2 sandboxes'), answer === '\u0003' ? 130 : 0])
      expect(stdout).not.toContain('INTERNAL')
    }
    expect((await daemon().line.caisson(['ps', '--all'], { env })).stdout).toContain(two.id)
    expect((await asked('y\r')).stdout).toMatch(new RegExp(`\\n(${one.id}\r\n${two.id}|${two.id}\r\n${one.id})\r\n$`))
    const last = await Sandbox.create({ door, template: 'base' })
    expect(await killed(['--all', '--yes'])).toMatchObject({ exitCode: 0, stdout: `${last.id}\n` })
    expect(await killed(['--all', '--yes'])).toMatchObject({ exitCode: 0, stdout: '' })
    expect(await daemon().has(foreign.id)).toBe(true)
  })

  test('fork: copies with the files, which go their own ways', async () => {
    const one = await daemon().sandbox()
    await one.files.write('f', '1')
    const ids = (await daemon().line.caisson(['fork', '--count', '2', one.id])).stdout.trim().split('\n')
    expect(new Set([...ids, one.id]).size).toBe(3)
    const forks = await Promise.all(ids.map((id) => Sandbox.attach(id, { door: daemon().door })))
    await forks[0]?.files.write('f', '2')
    expect(await forks[1]?.files.read('f')).toBe('1')
    expect(await one.files.read('f')).toBe('1')
    const json = await daemon().line.caisson(['fork', '--json', one.id])
    expect(JSON.parse(json.stdout)).toEqual([expect.stringMatching(/^i[a-z0-9]{19}$/)])
    await daemon().line.caisson(['kill', ...(JSON.parse(json.stdout) as string[])])
  })

  test('logs: what happened, in order, and followed until the end', async () => {
    const one = await daemon().sandbox()
    await one.commands.run('true first')
    expect((await daemon().line.caisson(['logs', one.id])).stdout).toMatch(/Z {2}info {3}created from base[\s\S]*true first/)
    let killed = false
    const followed = await daemon().line.caisson(['logs', '--follow', '--json', one.id], {
      onOutput: (text) => {
        if (killed || !text.includes('true first')) return
        killed = true
        void one.commands.run('true second').then(() => one.kill())
      },
    })
    const entries = followed.stdout.trim().split('\n')
    const messages = entries.map((entry) => (JSON.parse(entry) as { message: string }).message)
    expect(new Set(entries).size).toBe(entries.length)
    const places = ['created', 'true first', 'true second', 'ended: kill'].map((part) =>
      messages.findIndex((message) => message.includes(part)),
    )
    expect(places).toEqual([...places].sort((a, b) => a - b))
    expect(places).not.toContain(-1)
  })
})

describe('keys', () => {
  test('are made for an owner, with quotas; what is another’s is not there; a revoked one is none', async () => {
    const { stdout } = await daemon().line.caisson(['keys', 'create', 'alice', '--sandboxes', '1', '--memory', '2GiB', '--disk', '4GiB'])
    const env = { CAISSON_URL: daemon().url, CAISSON_API_KEY: stdout.trim(), CAISSON_HOME: join(daemon().line.folder, 'elsewhere') }
    const foreign = await daemon().sandbox()
    const mine = await Sandbox.create({ door: new RemoteDoor({ url: env.CAISSON_URL, key: env.CAISSON_API_KEY }), template: 'base' })
    expect((await daemon().line.caisson(['ps', '--json'], { env })).stdout).not.toContain(foreign.id)
    for (const words of [
      ['exec', foreign.id, '--', 'true'],
      ['kill', foreign.id],
      ['logs', foreign.id],
      ['cp', '.', `${foreign.id}:`],
    ]) {
      expect((await daemon().line.caisson(words, { env })).stderr).toMatch(/^caisson: NOT_FOUND: [^\n]*\n$/)
    }
    expect((await daemon().line.caisson(['exec', mine.id, '--', 'echo', 'hi'], { env })).stdout).toBe('hi\n')
    expect((await daemon().line.caisson(['keys'], { env })).stderr).toMatch(/^caisson: ACCESS_DENIED: [^\n]*\n$/)
    expect((await daemon().line.caisson(['run', '--', 'true'], { env })).stderr).toMatch(/^caisson: QUOTA_EXCEEDED: [^\n]*\n$/)
    expect((await daemon().line.caisson(['run', '--mount', '.', '--', 'true'], { env })).stderr).toMatch(
      /^caisson: ACCESS_DENIED: [^\n]*\n$/,
    )
    const listed = JSON.parse((await daemon().line.caisson(['keys', '--json'])).stdout) as { id: string; owner: string; quotas: object }[]
    const alice = listed.find(({ owner }) => owner === 'alice')
    expect(alice).toMatchObject({ operator: false, quotas: { sandboxes: 1, memoryMiB: 2048, cpus: null, diskMiB: 4096 } })
    const [line = ''] = (await daemon().line.caisson(['keys'])).stdout.split('\n').filter((text) => / alice /.test(text))
    expect(line).toMatch(/^\S+ +alice +no +\S+Z +1 +- +- +2048 MiB +4096 MiB +\d+ of \d+ +\d+ of \d+ MiB +container$/)
    await daemon().line.caisson(['kill', mine.id], { env })
    expect((await daemon().line.caisson(['keys', 'revoke', alice?.id ?? ''])).stdout).toBe(`${alice?.id}\n`)
    expect((await daemon().line.caisson(['ps'], { env })).stderr).toMatch(/^caisson: UNAUTHENTICATED: [^\n]*\n$/)
  })
})
