import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Sandbox, type SandboxOptions } from '../../client/index.ts'
import { everyWall } from './every-wall.ts'
import { SpecHost } from './home.ts'
import { eachLanguage } from './languages.ts'
import { type Kind, Traces } from './traces.ts'

const run = promisify(execFile)

let host: SpecHost
beforeAll(async () => {
  host = await SpecHost.open()
})
afterAll(async () => {
  await host[Symbol.asyncDispose]()
})

const ROOT_KINDS: Kind[] = ['process', 'cgroup', 'mount', 'loop device', 'network namespace', 'state', 'ids']
/** The disk of a machine is a file that QEMU holds open: the host's kernel mounts nothing that was written inside. */
const NOT_OF_MACHINES: Kind[] = ['mount', 'loop device']

/** A process that has left its parent, its session and its signals behind. */
const STAYS = 'trap "" HUP TERM INT; setsid sh -c "sleep 1000 & sleep 1000" >/dev/null 2>&1 &'

everyWall((wall) => {
  const make = (options: SandboxOptions = {}) => Sandbox.create({ template: 'base', wall, ...options, door: host.door })

  describe('what is there to work with', () => {
    let sandbox: Sandbox
    beforeAll(async () => {
      sandbox = await make()
    })
    afterAll(() => sandbox?.kill())

    test('commands: exit codes, both outputs, input, environment, users, signals', async () => {
      const told = await sandbox.commands.run('cat; echo "$WORD"; echo no >&2; exit 7', { stdin: 'in\n', env: { WORD: 'word' } })
      expect(told).toMatchObject({ exitCode: 7, stdout: 'in\nword\n', stderr: 'no\n' })
      expect((await sandbox.commands.run('id -un; pwd')).stdout).toBe('user\n/home/user\n')
      expect((await sandbox.commands.run('id -u', { user: 'root' })).stdout).toBe('0\n')
      expect((await sandbox.commands.run('kill -9 $$')).signal).toBe(9)
      await expect(sandbox.commands.run('/no/such/program')).resolves.toMatchObject({ exitCode: 127 })
    })

    test('input waits for a program that does not read yet, and so does code', async () => {
      const stdin = 'x'.repeat(1 << 20)
      expect(await sandbox.commands.run('sleep 0.5; wc -c', { stdin })).toMatchObject({ exitCode: 0, stdout: `${stdin.length}\n` })
      expect((await sandbox.runCode(`x=${stdin}; echo \${#x}`, { language: 'bash' })).stdout).toBe(`${stdin.length}\n`)
    })

    test('files come and go, belong to the user, and links lead nowhere outside', async () => {
      const bytes = new Uint8Array(3 << 20).map((_, index) => index % 251)
      await sandbox.files.write('a/b/c.bin', bytes)
      expect(Buffer.compare(await sandbox.files.read('a/b/c.bin', { format: 'bytes' }), bytes)).toBe(0)
      expect((await sandbox.commands.run('find a -type f -printf "%m %U %G"')).stdout).toBe('644 1000 1000')
      await sandbox.files.move('a/b/c.bin', 'a/d.bin')
      expect((await sandbox.files.list('a')).map(({ name }) => name).sort()).toEqual(['b', 'd.bin'])
      await sandbox.files.remove('a')
      await expect(sandbox.files.read('a/d.bin')).rejects.toMatchObject({ code: 'FILE_MISSING' })
      await expect(sandbox.files.write('/usr/x', 'x')).rejects.toMatchObject({ code: 'FILE_DENIED' })
      await expect(sandbox.files.read('/etc/shadow')).rejects.toMatchObject({ code: expect.stringMatching(/^FILE_/) })
    })

    test('the root is read-only, and what is the sandbox’s own is written', async () => {
      for (const place of ['/', '/usr', '/etc', '/caisson']) {
        const { exitCode, stderr } = await sandbox.commands.run(`touch ${place}/x`, { user: 'root' })
        expect(`${exitCode} ${stderr}`).toMatch(/^1 .*(Read-only file system|Permission denied)/)
      }
      for (const place of ['/tmp', '/var/tmp', '/home/user']) expect((await sandbox.commands.run(`touch ${place}/x`)).exitCode).toBe(0)
    })
  })

  test.each([
    ['timeout', { timeoutMs: 2500 }, 'sleep 1000'],
    ['memory', { memoryMiB: 192 }, "python3 -c 'a = []\nwhile True: a.append(bytearray(1 << 20))'"],
    ['memory', { memoryMiB: 192 }, 'cat /dev/zero > /dev/shm/x'],
    ['pids', { pids: 40 }, 'while :; do sleep 1000 & done'],
    ['disk', { diskMiB: 16 }, 'cat /dev/zero > /tmp/x'],
    // The smallest disk has the fewest places for files.
    ['disk', { diskMiB: 4 }, 'i=0; while : > /home/user/$i || exit 1; do i=$((i+1)); done'],
    ['output', { outputMiB: 1 }, 'yes'],
  ] as const)('%s: typed, and nothing survives it', async (reason, limits, command) => {
    const sandbox = await make(limits)
    const traces = new Traces(host.home, sandbox.id)
    await traces.find()
    await sandbox.commands.run(command).catch(() => undefined)
    expect((await sandbox.ended).reason).toBe(reason)
    expect(await traces.find()).toEqual(new Map())
    const records = (await readFile(join(host.home, 'audit', 'audit.jsonl'), 'utf8')).trim().split('\n')
    const ours = records.map((line) => JSON.parse(line)).filter((record) => record.sandbox === sandbox.id)
    // Whoever runs it tells it: the host's kernel, gVisor, the agent of a machine.
    expect(ours[0]).toMatchObject({ kind: 'create', wall, plan: { audit: { commands: true } } })
    expect(ours.at(-1)).toMatchObject({ kind: 'death', reason })
  })

  test('a cpu quota holds', async () => {
    // A machine starts as slowly as it runs.
    const cpus = wall === 'microvm' ? 0.5 : 0.25
    await using sandbox = await make({ cpus })
    const traces = new Traces(host.home, sandbox.id)
    // What it took to start is not the sandbox's.
    const [before, begun] = [await traces.cpuUs(), performance.now()]
    const count =
      'import time\nend = time.monotonic() + 2\ncpu = time.process_time()\nwhile time.monotonic() < end: pass\nprint((time.process_time() - cpu) / 2)'
    await sandbox.commands.run(`python3 -c '${count}'`)
    const { cpuUs } = await sandbox.kill()
    const [usedUs, elapsedUs] = [Number(cpuUs) - before, (performance.now() - begun) * 1000]
    expect(usedUs).toBeGreaterThan(100_000)
    // That much, and what is used at once before the kernel counts.
    expect(usedUs).toBeLessThan(elapsedUs * (cpus + 0.25))
  })

  test('open files are limited, for every process', async () => {
    await using sandbox = await make({ openFiles: 64 })
    expect((await sandbox.commands.run('ulimit -n; ulimit -Hn')).stdout).toBe('64\n64\n')
  })

  test('a live sandbox leaves traces of every kind, and a killed one none', async () => {
    const sandbox = await make()
    const traces = new Traces(host.home, sandbox.id)
    await sandbox.commands.run(STAYS)
    const kinds = wall === 'microvm' ? ROOT_KINDS.filter((kind) => !NOT_OF_MACHINES.includes(kind)) : ROOT_KINDS
    expect([...(await traces.find()).keys()].sort()).toEqual([...kinds].sort())
    expect((await sandbox.kill()).reason).toBe('kill')
    expect(await traces.find()).toEqual(new Map())
  })

  test('a keeper that is killed takes the sandbox with it, and the host clears up', async () => {
    const sandbox = await make()
    const traces = new Traces(host.home, sandbox.id)
    await sandbox.commands.run(STAYS)
    const processes = (await traces.find()).get('process') ?? []
    const first = processes.find((line) => /\/caisson\/agent|\/runsc|caisson-keeper/.test(line))
    const keeper = Number(/PPid:\s+(\d+)/.exec(await readFile(`/proc/${Number(first?.split(' ')[0])}/status`, 'utf8'))?.[1])
    process.kill(keeper, 'SIGKILL')
    expect((await sandbox.ended).reason).toBe('crash')
    const left = await traces.find()
    // The number's file stays until the number is taken again; its lock went with the keeper.
    for (const number of left.get('ids') ?? []) await run('flock', ['--nonblock', `/run/caisson/ids/${number}`, 'true'])
    left.delete('ids')
    expect(left).toEqual(new Map())
  })

  // A machine that starts cold takes twenty seconds for this; one that is restored does the same in restored.spec.ts.
  test.skipIf(wall === 'microvm')('each language runs, and keeps its state', async () => {
    await using sandbox = await Sandbox.create({ template: 'code-interpreter', wall, door: host.door })
    await eachLanguage(sandbox)
  })
})
