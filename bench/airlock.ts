import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { Sandbox } from 'caisson'
import { inspected, openHttpsServer } from './airlock-inspected.ts'
import { CLIENT, SERVER } from './airlock-programs.ts'
import type { Row } from './report.ts'
import { summary } from './statistics.ts'

const execute = promisify(execFile)

/** Nobody's (RFC 1918), on this machine's loopback while it is measured: 127.0.0.1 is the sandbox's own. */
const ADDRESS = '10.198.18.7'
/** Runs of the client through the gate, each beside one without it: on a busy machine one minute is not as fast as the next. */
const PAIRS = 20
const TRANSFERS = 5
const AT_ONCE = 1000
const MIB = 2 ** 20

type Measured = Record<'connects' | 'rounds' | 'transfers' | 'crowd', number[]> & { served: number }
/** Through the gate, and at once afterwards without it. */
type Pair = readonly [Measured, Measured]

/** What the gate adds: the same client and the same server, through the gate and without it. Needs root, for an address of the loopback. */
export async function airlock(rounds: number): Promise<Row[]> {
  const what = 'a tunnelled connection, to its first answer'
  if (process.getuid?.() !== 0) return [{ what, unit: 'ms', measured: { skipped: 'needs root' } }]
  await execute('ip', ['address', 'add', `${ADDRESS}/32`, 'dev', 'lo'])
  const server = spawn('python3', ['-c', SERVER, ADDRESS], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const [first] = (await once(server.stdout, 'data')) as [Buffer]
    const port = Number(first.toString())
    const args = (counts: readonly number[]) => [ADDRESS, port, ...counts].map(String)
    await using secure = await openHttpsServer(ADDRESS)
    process.env['CAISSON_ALLOW_PRIVATE'] = `${ADDRESS}:${port},${ADDRESS}:${secure.port}`
    process.env['CAISSON_EXTRA_CA'] = secure.certificate
    const before = new Set(await gates())
    await using sandbox = await Sandbox.create({
      template: 'base',
      network: `allow:${ADDRESS}:${port}`,
      timeoutMs: null,
      openFiles: 4096,
      pids: null,
    })
    const gate = (await gates()).find((pid) => !before.has(pid)) ?? 0
    const idleMiB = await ownMiB(gate)
    await sandbox.files.write('/home/user/client.py', CLIENT)
    const inside = async (...counts: number[]) =>
      parsed((await sandbox.commands.run(['python3', '/home/user/client.py', ...args(counts)])).stdout)
    const outside = async (...counts: number[]) =>
      parsed((await execute('python3', ['-c', CLIENT, ...args(counts)], { maxBuffer: 64 * MIB })).stdout)
    const pairs: Pair[] = []
    const connections = Math.ceil((rounds * 5) / PAIRS)
    for (let pair = 0; pair < PAIRS; pair += 1) pairs.push([await inside(connections, 0, 0), await outside(connections, 0, 0)])
    const [through, without] = [await inside(0, TRANSFERS, AT_ONCE), await outside(0, TRANSFERS, AT_ONCE)]
    const after = await ownMiB(gate)
    return [...latencies(pairs), ...amounts(through, without), ...memory(idleMiB, after), ...(await inspected(ADDRESS, secure, rounds))]
  } finally {
    server.kill('SIGKILL')
    await execute('ip', ['address', 'del', `${ADDRESS}/32`, 'dev', 'lo'])
  }
}

function latencies(pairs: readonly Pair[]): Row[] {
  const all = (which: 0 | 1, key: 'connects' | 'rounds') => summary(pairs.flatMap((pair) => pair[which][key]))
  /** Of each pair, what half of its connections take longer. */
  const added = (key: 'connects' | 'rounds') => summary(pairs.map(([one, other]) => summary(one[key]).p50 - summary(other[key]).p50))
  return [
    { what: 'a tunnelled connection, to its first answer', unit: 'ms', measured: all(0, 'connects') },
    { what: '  the same without the gate', unit: 'ms', measured: all(1, 'connects') },
    { what: '  added', unit: 'ms', measured: added('connects'), aim: 1 },
    { what: 'a round trip on it', unit: 'ms', measured: all(0, 'rounds') },
    { what: '  added', unit: 'ms', measured: added('rounds') },
  ]
}

function amounts(through: Measured, without: Measured): Row[] {
  const speeds = [summary(through.transfers), summary(without.transfers)] as const
  return [
    { what: 'a stream of 256 MiB', unit: 'MB/s', measured: speeds[0], aim: Math.round(speeds[1].p50 * 0.6) },
    { what: '  the same without the gate', unit: 'MB/s', measured: speeds[1] },
    { what: `${AT_ONCE} at once, all answered (${through.served} were)`, unit: 'ms', measured: summary(through.crowd) },
    { what: '  the same without the gate', unit: 'ms', measured: summary(without.crowd) },
  ]
}

function memory(idleMiB: number, afterMiB: number): Row[] {
  return [
    { what: 'memory of an idle gate, its own', unit: 'MiB', measured: summary([idleMiB]), aim: 1 },
    { what: '  after all of this', unit: 'MiB', measured: summary([afterMiB]) },
  ]
}

function parsed(text: string): Measured {
  return JSON.parse(text) as Measured
}

async function gates(): Promise<number[]> {
  const found: number[] = []
  for (const pid of (await readdir('/proc')).map(Number).filter(Number.isInteger)) {
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
    if (name === 'caisson-gate\n') found.push(pid)
  }
  return found
}

/** Pages that are this process's alone. */
async function ownMiB(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8')
  const kib = ['Private_Clean', 'Private_Dirty'].map((key) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(rollup)?.[1] ?? 0))
  return kib.reduce((sum, one) => sum + one, 0) / 1024
}
