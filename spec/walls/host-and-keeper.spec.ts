import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Held } from '../../wire/index.ts'
import { SpecHost } from './home.ts'
import { telling, toldOf } from './own-trace.ts'
import { SmallDisk } from './small-disk.ts'
import { Traces } from './traces.ts'

// What is left when one of the parties of a sandbox ends without warning, or somebody changes their mind.

const signal = new AbortController().signal
const BASE = { template: 'base' }
let host: SpecHost
beforeAll(async () => {
  host = await SpecHost.open()
})
afterAll(() => host[Symbol.asyncDispose]())

/** The keeper is the parent of the sandbox's first process. */
async function keeperOf(home: string, id: string): Promise<number> {
  const processes = (await new Traces(home, id).find()).get('process') ?? []
  const agent = processes.find((line) => line.includes('/caisson/agent'))?.split(' ')[0]
  return Number(/PPid:\s+(\d+)/.exec(await readFile(`/proc/${agent}/status`, 'utf8'))?.[1])
}

const records = async (id: string) =>
  (await readFile(join(host.home, 'audit', 'audit.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter((record) => record.sandbox === id)

async function run(held: Held, command: string): Promise<{ exitCode: number; output: string }> {
  const process = await held.start({ command: 'sh', args: ['-c', command] }, signal)
  let output = ''
  for await (const { bytes } of process.output) output += Buffer.from(bytes).toString()
  return { exitCode: (await process.exit).exitCode, output }
}

test('the end of a keeper by SIGKILL is the end of its sandbox; the host removes what it left and records it', async () => {
  const held = await host.door.create(BASE, signal)
  const traces = new Traces(host.home, held.id)
  await traces.find()
  const sleeping = await held.start({ command: 'sleep', args: ['1000'] }, signal)
  process.kill(await keeperOf(host.home, held.id), 'SIGKILL')
  await expect(held.ended).resolves.toMatchObject({ id: held.id, reason: 'crash' })
  await expect(sleeping.exit).rejects.toMatchObject({ code: 'SANDBOX_GONE' })
  await expect(run(held, 'true')).rejects.toMatchObject({ code: 'SANDBOX_GONE', message: expect.stringContaining('crash') })
  // But for the number of its ids, that stays until it is taken again.
  expect([...(await traces.find()).keys()].filter((kind) => kind !== 'ids')).toEqual([])
  expect((await records(held.id)).at(-1)).toMatchObject({ kind: 'death', reason: 'crash' })
})

test('a keeper sleeps while nothing happens, also when all processes of a fork have ended', async () => {
  const held = await host.door.create({}, signal)
  const context = await held.createContext({ language: 'python' }, signal)
  await held.runCode({ code: '1', contextId: context.id }, () => undefined, signal)
  await held.deleteContext(context.id, signal)
  const file = `/proc/${await keeperOf(host.home, held.id)}/schedstat`
  const ranMs = async () => Number((await readFile(file, 'utf8')).split(' ')[0]) / 1e6
  // What is left to do for that end is done soon; what goes round and round never ends.
  await expect
    .poll(
      async () => {
        const before = await ranMs()
        await pause(500)
        return (await ranMs()) - before
      },
      { timeout: 60_000 },
    )
    .toBeLessThan(10)
  await held.kill(signal)
})

test('every command is recorded before it runs, under the name that it was given', async () => {
  const held = await host.door.create({ ...BASE, metadata: { who: 'spec' } }, signal)
  await run(held, 'echo "a\u001b[31m"')
  await held.kill(signal)
  const found = await records(held.id)
  expect(found.map(({ kind }) => kind)).toEqual(['create', 'exec', 'command', 'exec', 'death'])
  expect(found[0]).toMatchObject({ metadata: { who: 'spec' }, plan: { limits: { pids: 128 } } })
  expect(found[2]).toMatchObject({ command: 'sh', args: ['-c', 'echo "a\u001b[31m"'] })
})

test('nothing that children execute is missing, however fast: what programs say that they did is what was recorded', async () => {
  const held = await host.door.create(BASE, signal)
  const { exitCode, output } = await run(held, telling(['one', 'two', 'three', 'four'], 300))
  await held.kill(signal)
  const said = output.trim().split('\n').sort()
  expect([exitCode, said.length]).toEqual([0, 1200])
  expect(toldOf(await records(held.id))).toEqual(said)
})

test('a host that closes ends what is on its leash, and lets go of what is not', async () => {
  const own = await SpecHost.open()
  const [leashed, free] = await Promise.all([own.door.create(BASE, signal), own.door.create({ ...BASE, leash: 'none' }, signal)])
  await own.door.close()
  await expect(leashed.ended).resolves.toMatchObject({ reason: 'kill' })
  expect(await readdir(join(own.home, 'sandboxes'))).toEqual([free.id])
  // Another host leaves it alone as well: it lives.
  const next = await SpecHost.open({ home: own.home })
  await next.door.close()
  expect(await readdir(join(own.home, 'sandboxes'))).toEqual([free.id])
  process.kill(await keeperOf(own.home, free.id), 'SIGTERM')
  while ((await readdir(join(own.home, 'sandboxes'))).length > 0) await pause(20)
  await next[Symbol.asyncDispose]()
})

test('a creation that is aborted at any moment leaves nothing', async () => {
  for (const afterMs of [0, 1, 2, 4, 6, 8, 10, 12, 15, 20, 30]) {
    const abort = new AbortController()
    const creating = host.door.create(BASE, abort.signal)
    const timer = setTimeout(() => abort.abort(), afterMs)
    const held = await creating.catch((failure: unknown) => {
      expect(failure).toMatchObject({ code: 'CANCELLED' })
    })
    clearTimeout(timer)
    await held?.kill(signal)
    expect(await readdir(join(host.home, 'sandboxes'))).toEqual([])
  }
})

test('many at once are all made, each with an id, a host name and a machine id of its own', async () => {
  const sandboxes = await Promise.all(Array.from({ length: 24 }, () => host.door.create({ ...BASE, memoryMiB: 64 }, signal)))
  const said = await Promise.all(sandboxes.map((held) => run(held, 'hostname; cat /etc/machine-id /proc/self/uid_map')))
  expect(new Set(said.map(({ output }) => output)).size).toBe(sandboxes.length)
  expect(said.map(({ output }) => output.split('\n')[0])).toEqual(sandboxes.map(({ id }) => id))
  await Promise.all(sandboxes.map((held) => held.kill(signal)))
  expect(await readdir(join(host.home, 'sandboxes'))).toEqual([])
})

test('what cannot be recorded does not happen', async () => {
  const own = await SpecHost.open()
  await own.door.close()
  {
    using disk = new SmallDisk(join(own.home, 'audit'), 128)
    const full = await SpecHost.open({ home: own.home })
    disk.fill()
    const one = async () => (await full.door.create(BASE, signal)).kill(signal)
    // The last page of the log may have room for one more.
    await one().catch(() => undefined)
    await one().catch(() => undefined)
    await expect(one()).rejects.toMatchObject({ code: 'AUDIT_UNWRITABLE' })
    expect(await readdir(join(own.home, 'sandboxes'))).toEqual([])
    await full.door.close()
  }
  await rm(own.home, { recursive: true, force: true })
})

test('mounts are where they were asked for, below the home too; links are resolved first, and the host keeps its owner', async () => {
  const [source, link] = [join(host.home, '..', `cai-mount-${process.pid}`), join(host.home, '..', `cai-link-${process.pid}`)]
  await mkdir(source)
  try {
    await writeFile(join(source, 'given'), 'from the host')
    await symlink(source, link)
    const mounts = [
      { source: link, target: '/home/user/project', mode: 'rw' as const },
      { source: join(source, 'given'), target: '/data/given', mode: 'ro' as const },
    ]
    const held = await host.door.create({ ...BASE, mounts }, signal)
    const { output } = await run(
      held,
      'cat /data/given project/given; echo back > project/made; echo no 2>/dev/null > /data/given || echo refused',
    )
    expect(output).toBe('from the hostfrom the hostrefused\n')
    await held.kill(signal)
    expect(await readFile(join(source, 'made'), 'utf8')).toBe('back\n')
    expect((await stat(join(source, 'made'))).uid).toBe(process.getuid?.())
    const state = { ...BASE, mounts: [{ source: host.home, target: '/home/user/state', mode: 'ro' as const }] }
    await expect(host.door.create(state, signal)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    const nothing = { ...BASE, mounts: [{ source: join(source, 'nothing'), target: '/data', mode: 'ro' as const }] }
    await expect(host.door.create(nothing, signal)).rejects.toMatchObject({ code: 'MOUNT_UNREADABLE' })
    expect(await readdir(join(host.home, 'sandboxes'))).toEqual([])
  } finally {
    await Promise.all([rm(source, { recursive: true }), rm(link)])
  }
})

test('a start that is aborted at any moment leaves no process', async () => {
  const held = await host.door.create(BASE, signal)
  for (const turns of [0, 1, 2, 3, 5, 8]) {
    const abort = new AbortController()
    const starting = held.start({ command: 'sleep', args: ['1000'] }, abort.signal)
    for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    abort.abort()
    const started = await starting.catch((failure: unknown) => {
      expect(failure).toMatchObject({ code: 'CANCELLED' })
    })
    await started?.signal(9, signal)
    await started?.exit
  }
  while ((await run(held, 'pgrep -x sleep')).exitCode === 0) await pause(20)
  await held.kill(signal)
})
