import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { chmod, mkdir, open, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Sandbox, type SandboxOptions } from '../../client/index.ts'
import { onWall } from './every-wall.ts'
import { SpecHost } from './home.ts'
import { eachLanguage } from './languages.ts'
import { EVERY_WAY, telling, toldOf } from './own-trace.ts'
import { CARD, inTurn, PROGRAMS, parts, RENEWED } from './renewed.ts'
import { Traces } from './traces.ts'

const RIGHTS = 'grep -E "^(Cap|NoNewPrivs)" /proc/self/status; id; hostname > /tmp/x && cat /proc/sys/kernel/hostname; hostname other 2>&1'

const WAYS = [
  ...['plainly', 'unread-word', 'unread-variable', 'unread-length', 'linked', 'descriptor', 'memory', 'script', 'spawned'],
  ...['thread', 'racing', 'detached'],
]

/** Walls with saved states, and how they differ. */
const KINDS = [
  {
    wall: 'gvisor',
    options: {},
    imported: ['numpy'],
    /** Its kernel, unlike Linux, says no number of its boot. */
    python: RENEWED.filter(({ what }) => what !== 'boot of the kernel'),
    programs: PROGRAMS,
    /** The state that is harmed, and where: another kind of sandbox, where one that is made sooner will do. */
    harmed: {},
    image: 'checkpoint.img',
    hasNetwork: false,
  },
  {
    wall: 'microvm',
    options: { network: 'open' },
    imported: ['numpy', 'pandas', 'matplotlib.pyplot'],
    python: RENEWED,
    programs: [...PROGRAMS, CARD],
    harmed: { template: 'base', memoryMiB: 64, diskMiB: 16 },
    image: 'memory',
    hasNetwork: true,
  },
] as const

describe.each(KINDS)('saved states of $wall', ({ wall, options, imported, python, programs, harmed, image, hasNetwork }) => {
  onWall(wall, () => {
    let host: SpecHost
    let cold: Sandbox
    let restored: [Sandbox, Sandbox]
    const said = new Map<string, string[]>()
    const make = (more: SandboxOptions = {}, door = host.door) => Sandbox.create({ wall, timeoutMs: 900_000, ...options, ...more, door })

    async function records(kind: string) {
      const lines = (await readFile(join(host.home, 'audit', 'audit.jsonl'), 'utf8')).trim().split('\n')
      return lines.map((line) => JSON.parse(line)).filter((record) => record.kind === kind)
    }
    const saved = (count: number) =>
      vi.waitFor(async () => expect((await records('warm')).filter(({ outcome }) => outcome === 'saved')).toHaveLength(count), {
        timeout: 600_000,
        interval: 200,
      })
    const startOf = async ({ id }: Sandbox) => (await records('create')).find(({ sandbox }) => sandbox === id)?.plan.engine.warm?.op

    beforeAll(async () => {
      host = await SpecHost.open({ states: true })
      cold = await make()
      await saved(1)
      restored = await Promise.all([make(), make()])
      for (const sandbox of restored) {
        const { stdout } = await sandbox.runCode(inTurn(python, 'print("---")'))
        const told = await sandbox.commands.run(inTurn(programs, 'echo ---'))
        const texts = [...parts(stdout), ...parts(told.stdout)]
        for (const [at, { what }] of [...python, ...programs].entries()) said.set(what, [...(said.get(what) ?? []), texts[at] ?? ''])
      }
    }, 700_000)
    afterAll(async () => {
      await Promise.all([cold, ...(restored ?? [])].map((sandbox) => sandbox?.kill()))
      await host[Symbol.asyncDispose]()
    })

    test('the first of a kind starts cold and has a state saved; those after it are restored with their interpreter warm', async () => {
      expect(await startOf(cold)).toBeUndefined()
      expect(await Promise.all(restored.map(startOf))).toEqual(['restore', 'restore'])
      const asked = `import os, sys; print([name for name in ${JSON.stringify(imported)} if name not in sys.modules], os.getppid())`
      expect((await restored[0].runCode(asked)).stdout).toBe('[] 1\n')
      expect(host.notices).toEqual([])
    })

    test.each([...python, ...programs].map(({ what }) => what))('%s differs in every restored sandbox', (what) => {
      const [one = '', other = ''] = said.get(what) ?? []
      expect(one.trim()).not.toBe('')
      expect(other.trim()).not.toBe('')
      expect(one).not.toBe(other)
    })

    test('each language runs, and keeps its state', () => eachLanguage(restored[1]))

    test.each(['user', 'root'])('%s has the rights that one that was started has, and its own name', async (user) => {
      const of = async (sandbox: Sandbox) => {
        const { stdout } = await sandbox.commands.run(RIGHTS, { user })
        expect(stdout).toContain(`${sandbox.id}\n`)
        return stdout.replace(sandbox.id, 'ID')
      }
      const [first, second] = await Promise.all([of(cold), of(restored[0])])
      expect(second).toBe(first)
      expect(second).toMatch(/(must be root|Operation not permitted|permission)/)
    })

    test('its clock is right, and its disk is its own', async () => {
      const [one, other] = restored
      const before = Date.now()
      const told = await one.commands.run('date +%s%3N; echo x > mine; ls')
      const [now, ...names] = told.stdout.trim().split('\n')
      expect(Number(now)).toBeGreaterThan(before - 1000)
      expect(Number(now)).toBeLessThan(Date.now() + 1000)
      expect(names).toEqual(['mine'])
      expect((await other.commands.run('ls')).stdout).toBe('')
    })

    // An interpreter that starts inside takes twenty seconds behind an emulated processor, and is no other one there.
    test.skipIf(hasNetwork)('a second context starts as ever', async () => {
      const context = await restored[0].contexts.create({ language: 'python' })
      expect((await restored[0].runCode('6 * 7', { context })).text).toBe('42')
    })

    describe.skipIf(hasNetwork)('what runs is recorded, as its trace points tell it', () => {
      const of = async ({ id }: Sandbox) => (await records('exec')).filter(({ sandbox }) => sandbox === id)

      test.each(['cold', 'restored'])('of one that started %s: what programs say that they did is what was recorded', async (start) => {
        const sandbox = start === 'cold' ? cold : restored[1]
        const { exitCode, stdout } = await sandbox.commands.run(telling(['one', 'two', 'three', 'four'], 25))
        const said = stdout.trim().split('\n').sort()
        expect([exitCode, said.length]).toEqual([0, 100])
        expect(toldOf(await of(sandbox))).toEqual(said)
        expect((await of(sandbox)).find(({ argv }) => argv[1] === 'one')).toMatchObject({ uid: 1000, parent: expect.any(Number) })
      })

      test('no way of executing is unseen: where its words are not told, it is recorded without them', async () => {
        const { stdout, stderr } = await restored[0].commands.run('python3 -c "$WAYS"', { env: { WAYS: EVERY_WAY } })
        const ran = stdout.trim().split('\n')
        expect(stderr).toBe('')
        expect(ran.map((line) => line.split(' ')[0])).toEqual([...WAYS])
        const found = await of(restored[0])
        for (const [name = '', pid] of ran.map((line) => line.split(' '))) {
          const own = found.filter((record) => record.pid === Number(pid))
          const isTold = name.startsWith('unread')
            ? own.some(({ unread }) => unread === true)
            : own.some(({ argv }) => argv.join(' ').includes(name))
          expect([name, isTold]).toEqual([name, true])
        }
      })

      test('it waits for a keeper that stands still, and nothing is lost', async () => {
        const keeper = await keeperOf(host.home, restored[1].id)
        const before = toldOf(await of(restored[1])).length
        process.kill(keeper, 'SIGSTOP')
        const running = restored[1].commands.run(telling(['still', 'waiting'], 75))
        // More than its socket takes.
        await pause(3000)
        process.kill(keeper, 'SIGCONT')
        const { exitCode, stdout } = await running
        expect(exitCode).toBe(0)
        const told = toldOf(await of(restored[1]))
        expect(told).toHaveLength(before + 150)
        expect(told).toEqual(expect.arrayContaining(stdout.trim().split('\n')))
      })

      test('a flood ends with what a sandbox may have of the record, and the sandbox with it', async () => {
        const limited = { extends: 'default', description: 'Little may be recorded.', audit: { maxMiB: 1 } }
        await mkdir(join(host.home, 'profiles'), { recursive: true, mode: 0o700 })
        await writeFile(join(host.home, 'profiles', 'limited.json'), JSON.stringify(limited))
        const sandbox = await make({ profile: 'limited' })
        const flood = 'word=$(head -c 8000 /dev/zero | tr "\\0" x); while :; do /bin/true $word; done'
        await sandbox.commands.run(flood).catch(() => undefined)
        expect(await sandbox.ended).toMatchObject({ reason: 'kill', detail: expect.stringContaining('cannot be recorded any more') })
        const bytes = (await of(sandbox)).reduce((sum, record) => sum + JSON.stringify(record).length, 0)
        // What was in the socket at the end is recorded no more.
        expect(bytes).toBeGreaterThan(900_000)
        expect(bytes).toBeLessThan(1_200_000)
      })
    })

    // gVisor cannot save a network; of a machine it is a part.
    test.skipIf(hasNetwork)('what another size or a network makes another kind of sandbox is not restored from this state', async () => {
      await using larger = await make({ memoryMiB: 1536 })
      await using outward = await make({ network: 'open' })
      expect([await startOf(larger), await startOf(outward)]).toEqual([undefined, undefined])
      await saved(2)
    })
    test.runIf(hasNetwork)(
      'what an interpreter executes that was warm before is recorded, and what made it warm is nobody’s record',
      async () => {
        await restored[0].runCode('import subprocess; subprocess.run(["/bin/true", "of one that was warm"])')
        const found = (await records('exec')).filter(({ argv }) => argv[1] === 'of one that was warm')
        expect(found).toMatchObject([{ sandbox: restored[0].id, path: '/bin/true', told: 'inside' }])
        const known = [cold, ...restored].map(({ id }) => id)
        expect((await records('exec')).filter(({ sandbox }) => !known.includes(sandbox))).toEqual([])
      },
    )
    test.runIf(hasNetwork)('what leaves a restored one is judged by its gate, in the rules of its own', async () => {
      expect((await restored[0].commands.run('curl -sS http://10.1.2.3/')).stdout).toContain('NETWORK_DENIED')
    })

    // What gVisor starts from it has read, and not mapped.
    test.runIf(hasNetwork)('the memory that all are restored from is mapped by each for itself, and open for reading only', () => {
      const [pid = ''] = execFileSync('pgrep', ['-f', `qemu.*${restored[0].id}`], { encoding: 'utf8' }).split('\n')
      const isMemory = (line: string) => line.endsWith('/memory')
      const mapped = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n').filter(isMemory)
      expect(mapped.map((line) => line.split(' ')[1])).toContain('rw-p')
      expect(mapped.filter((line) => line.split(' ')[1]?.endsWith('s'))).toEqual([])
      const open = readdirSync(`/proc/${pid}/fd`).filter((fd) => isMemory(readlinkSync(`/proc/${pid}/fd/${fd}`)))
      const modes = open.map((fd) => Number(/^flags:\s+0*(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1]) % 10)
      expect(modes).toEqual(open.map(() => 0))
      const places = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
        .split('\n')
        .filter((line) => line.split(' ')[4] === '/memory')
      expect(places.map((line) => line.split(' ')[5]?.split(',')[0])).toEqual(['ro'])
    })

    test.each([
      ['changed', flip],
      ['cut short', (path: string) => truncate(path, 4096)],
    ] as const)(
      'a state that was %s is discarded by its sum, said and recorded, and the sandbox starts cold',
      async (_what, harm) => {
        const count = async (outcome: string) => (await records('warm')).filter((record) => record.outcome === outcome).length
        const before = { saved: await count('saved'), discarded: await count('discarded') }
        // Of this kind there is none yet.
        const isFirst = before.discarded === 0
        if (hasNetwork && isFirst) {
          await (await make(harmed)).kill()
          before.saved += 1
          await saved(before.saved)
        }
        const folder = join(host.home, 'warm')
        const spared = join(host.home, 'spared')
        // With its holes: the memory of a machine is large, and there is little in it.
        if (isFirst) execFileSync('cp', ['-a', folder, spared])
        for (const name of (await readdir(folder)).filter((entry) => !entry.includes('.'))) {
          await chmod(join(folder, name, image), 0o600)
          await harm(join(folder, name, image))
        }
        // A host that has not looked at it yet: what has been looked at is not read again.
        const later = await SpecHost.open({ home: host.home, states: true })
        try {
          const sandbox = await make(harmed, later.door)
          expect(await startOf(sandbox)).toBeUndefined()
          expect((await sandbox.commands.run('echo $((6 * 7))')).stdout).toBe('42\n')
          expect(later.notices).toEqual([expect.stringContaining('a saved state was discarded')])
          expect(await count('discarded')).toBe(before.discarded + 1)
          await sandbox.kill()
          // Another takes its place; that takes long, and is seen once.
          if (!isFirst) await saved(before.saved + 1)
        } finally {
          await later.door.close()
        }
        if (!isFirst) return
        await rm(folder, { recursive: true })
        await rename(spared, folder)
      },
      600_000,
    )
  })
})

/** The keeper is the parent of the sandbox's first process. */
async function keeperOf(home: string, id: string): Promise<number> {
  const processes = (await new Traces(home, id).find()).get('process') ?? []
  const first = processes.find((line) => line.includes('/runsc'))?.split(' ')[0]
  return Number(/PPid:\s+(\d+)/.exec(await readFile(`/proc/${first}/status`, 'utf8'))?.[1])
}

/** A bit in the middle of what is there. */
async function flip(path: string): Promise<void> {
  await using file = await open(path, 'r+')
  const { size } = await file.stat()
  const byte = Buffer.alloc(1)
  const at = Math.floor(size / 2)
  await file.read(byte, 0, 1, at)
  await file.write(Buffer.of(byte.readUInt8() ^ 1), 0, 1, at)
}
