import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { probeContainer } from '../../host/walls/probe.ts'
import type { Plan } from '../../wire/index.ts'
import { Cells, keeperOf, run } from '../walls/cells.ts'
import { FakeAirlock } from './fake-airlock.ts'
import { Gated, gateOf, python } from './gated.ts'
import { Canary, echo } from './servers.ts'

const isRoot = process.getuid?.() === 0

test('the gate holds sockets and nothing else of the host: no file, no capability, no way to start a program', async () => {
  await using gated = await Gated.open()
  const gate = await gateOf(gated.cell)
  const read = () => readFile(`/proc/${gate}/status`, 'utf8')
  // It is confined beside the making of the sandbox, and serves nobody before.
  await expect.poll(read).toMatch(/Seccomp:\s+2/)
  const status = await read()
  expect(/CapEff:\s+(\w+)/.exec(status)?.[1]).toBe('0000000000000000')
  expect(/CapPrm:\s+(\w+)/.exec(status)?.[1]).toBe('0000000000000000')
  expect(/NoNewPrivs:\s+(\d)/.exec(status)?.[1]).toBe('1')
  expect(/Seccomp:\s+(\d)/.exec(status)?.[1]).toBe('2')
  expect(/Threads:\s+(\d)/.exec(status)?.[1]).toBe('1')
  const open = await Promise.all((await readdir(`/proc/${gate}/fd`)).map((fd) => readlink(`/proc/${gate}/fd/${fd}`)))
  const kinds = open.map((target) => target.replace(/:\[\d+\]$/, ''))
  // The pipe of its orders, and standard error, where a panic would be told.
  expect(kinds.filter((kind) => !['socket', 'anon_inode:[eventpoll]', '/dev/null'].includes(kind)).length).toBeLessThanOrEqual(2)
  expect(kinds.filter((kind) => kind.startsWith('/') && !/^\/dev\/null$|keeper-[^/]+\.err/.test(kind))).toEqual([])
})

test('a sandbox whose gate ends, ends: it never goes on without one', async () => {
  await using gated = await Gated.open()
  using server = await Canary.open(echo)
  gated.airlock.rules.connect = () => ({ verdict: 'deny', dial: ['127.0.0.1'] })
  const trying = gated
    .python(
      python`
while True:
    attempt('out', lambda: exchange(opened('203.0.113.7', facts['port'])))
`,
      { port: server.port },
    )
    .catch(() => 'lost')
  await expect.poll(() => gated.airlock.of('connect').length).toBeGreaterThan(10)
  process.kill((await gateOf(gated.cell)) ?? 0, 'SIGKILL')
  await expect(gated.cell.death).resolves.toMatchObject({ reason: 'crash', detail: 'its gate ended' })
  await trying
  expect(server.connections).toBe(0)
})

test('the gate ends with its keeper, and with its sandbox', async () => {
  for (const end of ['keeper', 'sandbox']) {
    await using gated = await Gated.open()
    const gate = await gateOf(gated.cell)
    if (end === 'keeper') process.kill(await keeperOf(gated.cell), 'SIGKILL')
    else await gated.cell[Symbol.asyncDispose]()
    await gated.cell.death
    // Whoever adopts orphans may take a moment to bury this one.
    const state = async () => /State:\s+(\w)/.exec(await readFile(`/proc/${gate}/status`, 'utf8').catch(() => 'State: Z'))?.[1]
    await expect.poll(state).toBe('Z')
  }
})

test('a sandbox without network has no gate, and no address but its loopback', async () => {
  await using cells = await Cells.open()
  await using cell = await cells.launch(await cells.plan())
  expect(await gateOf(cell)).toBeNull()
  const told = await run(
    cell,
    `python3 -c "import socket; socket.create_connection(('203.0.113.7', 80))" 2>&1 | tail -1; cat /proc/net/fib_trie`,
  )
  expect(told.stdout).toMatch(/unreachable/)
  expect(told.stdout).not.toMatch(/198\.18/)
})

/** What the keeper says last to this plan, perhaps through another program. */
async function refusal(plan: Plan, keeper: string[]): Promise<Record<string, string>> {
  const child = spawn(keeper[0] ?? '', [...keeper.slice(1), 'run'], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(`${JSON.stringify(plan)}\n`)
  return JSON.parse((await text(child.stdout)).trimEnd().split('\n').at(-1) as string)
}

async function gatePlan(cells: Cells, airlock: FakeAirlock): Promise<Plan> {
  cells.airlock = airlock.paths
  return await cells.plan()
}

test.runIf(isRoot)(
  'where the kernel has no rules that catch what leaves, there is no sandbox, and a word about what mends it',
  async () => {
    await using cells = await Cells.open()
    await using airlock = await FakeAirlock.open(cells.home)
    const plan = await gatePlan(cells, airlock)
    await mkdir(plan.dir, { recursive: true, mode: 0o700 })
    await mkdir(join(cells.home, 'audit'), { recursive: true })
    const wrapper = fileURLToPath(new URL('without-nftables.py', import.meta.url))
    const said = await refusal(plan, ['python3', wrapper, cells.settings.keeper])
    expect(said).toMatchObject({ event: 'failed', code: 'WALL_UNAVAILABLE' })
    expect(said['message']).toMatch(/nf_tables/)
    expect(said['hint']).toMatch(/modprobe .*nft_tproxy/)
    expect(airlock.asked).toEqual([])
  },
)

test('the doctor makes a gate to know whether there can be one, and says what is missing', async () => {
  await using cells = await Cells.open()
  const { keeper, uid } = cells.settings
  const signal = new AbortController().signal
  const found = async (path: string) => (await probeContainer({ keeper: path, uid }, signal)).find(({ what }) => what === 'gate')
  expect(await found(keeper)).toMatchObject({ severity: 'fine' })
  const lacking = join(cells.home, 'keeper')
  const wrapper = fileURLToPath(new URL('without-nftables.py', import.meta.url))
  await writeFile(lacking, `#!/bin/sh\nexec python3 ${wrapper} ${keeper} "$@"\n`, { mode: 0o700 })
  expect(await found(lacking)).toMatchObject({
    severity: 'degraded',
    detail: expect.stringMatching(/^only --net none works: nf_tables does not take the rules/),
    mend: expect.stringMatching(/modprobe .*nft_tproxy .*nfnetlink_log/),
  })
})

test('limits and paths that the gate cannot have are a reason why there is no sandbox', async () => {
  await using cells = await Cells.open()
  await using airlock = await FakeAirlock.open(cells.home)
  const plan = await gatePlan(cells, airlock)
  if (plan.network.mode !== 'gate') throw new Error('no gate')
  const long = { ...plan, network: { ...plan.network, airlock: `/${'x'.repeat(200)}` } }
  await expect(cells.launch(long)).rejects.toMatchObject({ code: 'PLAN_INVALID' })
  await mkdir(plan.dir, { recursive: true, mode: 0o700 })
  const said = await refusal(plan, ['prlimit', '--nofile=4000', cells.settings.keeper])
  expect(said).toMatchObject({ event: 'failed', code: 'LIMIT_UNAVAILABLE', message: expect.stringMatching(/maxConnections/) })
  expect(said['hint']).toMatch(/ulimit/)
})

test('plans that would weaken the gate are refused', async () => {
  await using cells = await Cells.open()
  await using airlock = await FakeAirlock.open(cells.home)
  const plan = await gatePlan(cells, airlock)
  if (plan.network.mode !== 'gate') throw new Error('no gate')
  const network = plan.network
  const bad: [Partial<Record<keyof Plan, unknown>>, RegExp][] = [
    [{ capabilities: ['NET_ADMIN'] }, /NET_ADMIN/],
    [{ capabilities: ['NET_RAW'] }, /NET_RAW/],
    [{ network: { ...network, maxConnections: 0 } }, /maxConnections/],
    [{ network: { ...network, maxConnections: 100_000 } }, /maxConnections/],
    [{ network: { ...network, idleMs: 0 } }, /idleMs/],
    [{ network: { ...network, more: true } }, /more/],
    [{ network: { mode: 'open' } }, /open/],
  ]
  for (const [change, why] of bad) {
    const said = await refusal({ ...plan, ...change } as Plan, [cells.settings.keeper])
    expect(said).toMatchObject({ event: 'failed', code: 'PLAN_INVALID', message: expect.stringMatching(why) })
  }
})
