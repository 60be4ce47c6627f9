import { chmod, readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { Sandbox, type SandboxOptions } from '../../client/index.ts'
import { onWall } from './every-wall.ts'
import { SpecHost } from './home.ts'
import { RENEWED } from './renewed.ts'

const RIGHTS = 'grep -E "^(Cap|NoNewPrivs)" /proc/self/status; id; hostname > /tmp/x && cat /proc/sys/kernel/hostname'
/** Its kernel, unlike Linux, says no number of its boot. */
const UNSAID = ['boot of the kernel']

onWall('gvisor', () => {
  let host: SpecHost
  let cold: Sandbox
  let restored: Sandbox[]
  const make = (options: SandboxOptions = {}) => Sandbox.create({ wall: 'gvisor', timeoutMs: 600_000, door: host.door, ...options })

  async function records(kind: string) {
    const lines = (await readFile(join(host.home, 'audit', 'audit.jsonl'), 'utf8')).trim().split('\n')
    return lines.map((line) => JSON.parse(line)).filter((record) => record.kind === kind)
  }
  const saved = (count: number) =>
    vi.waitFor(async () => expect((await records('warm')).filter(({ outcome }) => outcome === 'saved')).toHaveLength(count), {
      timeout: 180_000,
      interval: 200,
    })
  const startOf = async ({ id }: Sandbox) => (await records('create')).find(({ sandbox }) => sandbox === id)?.plan.engine.warm?.op

  beforeAll(async () => {
    host = await SpecHost.open()
    cold = await make()
    await saved(1)
    restored = await Promise.all([make(), make(), make()])
  })
  afterAll(async () => {
    await Promise.all([cold, ...restored].map((sandbox) => sandbox.kill()))
    await host[Symbol.asyncDispose]()
  })

  test('the first of a kind starts cold and has a state saved; those after it are restored with their interpreter warm', async () => {
    expect(await startOf(cold)).toBeUndefined()
    for (const sandbox of restored) {
      expect(await startOf(sandbox)).toBe('restore')
      const { stdout } = await sandbox.runCode('import sys; print("numpy" in sys.modules, __import__("os").getppid())')
      expect(stdout).toBe('True 1\n')
    }
    expect(host.notices).toEqual([])
  })

  test.each(RENEWED.filter(({ what }) => !UNSAID.includes(what)))('$what differs in every restored sandbox', async ({ code }) => {
    const said = await Promise.all(restored.map(async (sandbox) => (await sandbox.runCode(code)).stdout))
    expect(said.every((text) => text.trim() !== '')).toBe(true)
    expect(new Set(said).size).toBe(restored.length)
  })

  test.each([
    ['Node', 'node -p "crypto.randomUUID() + Math.random()"'],
    ['OpenSSL', 'openssl rand -hex 16'],
    ['the kernel’s uuid', 'cat /proc/sys/kernel/random/uuid 2>/dev/null || head -c 16 /dev/urandom | base64'],
  ])('%s: a program that is started after the restore says something else in each', async (_what, command) => {
    const said = await Promise.all(restored.map(async (sandbox) => (await sandbox.commands.run(command)).stdout))
    expect(new Set(said).size).toBe(restored.length)
    expect(said.every((text) => text.length > 16)).toBe(true)
  })

  test.each(['user', 'root'])('%s has the rights that one that was started has, and its own name', async (user) => {
    const of = async (sandbox: Sandbox) => {
      const { stdout } = await sandbox.commands.run(RIGHTS, { user })
      expect(stdout).toContain(`${sandbox.id}\n`)
      return stdout.replace(sandbox.id, 'ID')
    }
    const expected = await of(cold)
    for (const sandbox of restored) expect(await of(sandbox)).toBe(expected)
    const [one] = restored
    expect((await one?.commands.run('hostname other', { user }))?.exitCode).not.toBe(0)
  })

  test('its clock is right, its disk is its own, and a second context starts as ever', async () => {
    const [one, other] = restored as [Sandbox, Sandbox]
    const before = Date.now()
    const { stdout } = await one.runCode('import time; print(int(time.time() * 1000))')
    expect(Number(stdout)).toBeGreaterThan(before - 1000)
    expect(Number(stdout)).toBeLessThan(Date.now() + 1000)
    await one.runCode('open("mine", "w").write("x")')
    expect((await one.commands.run('ls')).stdout).toBe('mine\n')
    expect((await other.commands.run('ls')).stdout).toBe('')
    const context = await one.contexts.create({ language: 'python' })
    expect((await one.runCode('6 * 7', { context })).text).toBe('42')
  })

  test('what another size or a network makes another kind of sandbox is not restored from this state', async () => {
    await using larger = await make({ memoryMiB: 1536 })
    await using outward = await make({ network: 'open' })
    expect([await startOf(larger), await startOf(outward)]).toEqual([undefined, undefined])
    await saved(2)
  })

  test.each([
    [
      'changed',
      async (image: string) =>
        writeFile(
          image,
          (await readFile(image)).map((byte, at) => (at === 4096 ? byte ^ 1 : byte)),
        ),
    ],
    ['cut short', (image: string) => truncate(image, 4096)],
  ])('a state that was %s is discarded by its sum, and the sandbox starts cold', async (_what, harm) => {
    const folder = join(host.home, 'warm')
    for (const name of (await readdir(folder)).filter((entry) => !entry.endsWith('.lock'))) {
      await chmod(join(folder, name, 'checkpoint.img'), 0o600)
      await harm(join(folder, name, 'checkpoint.img'))
    }
    // A host that has not looked at it yet: what has been looked at is not read again.
    const later = await SpecHost.open(host.home)
    try {
      const sandbox = await Sandbox.create({ wall: 'gvisor', door: later.door })
      expect(await startOf(sandbox)).toBeUndefined()
      expect((await sandbox.runCode('6 * 7')).text).toBe('42')
      expect(later.notices).toEqual([expect.stringContaining('a saved state was discarded')])
      await sandbox.kill()
      // Another takes its place.
      const before = (await records('warm')).filter(({ outcome }) => outcome === 'discarded').length
      expect(before).toBeGreaterThan(0)
      await saved(2 + before)
    } finally {
      await later.door.close()
    }
  })
})
