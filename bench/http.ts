import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { addressed, type WireClient, type WireSandbox } from '../spec/api/wire-client.ts'
import { BenchDaemon } from './daemon.ts'
import { FileServer } from './file-server.ts'
import type { Row } from './report.ts'
import { series, summary, took } from './statistics.ts'

const INTERPRETER = 'code-interpreter-v1'
const BURST = 100
const IDLE_PER_ROUND = 20
/** Created at once; more only wait for each other. */
const AT_ONCE = 8
const PIECE = randomBytes(1 << 20)
const PIECES = 256
const TRANSFERS = 5
const QUIET_S = 30

/** What a client of the daemon waits for, over connections that are kept; beside a plain server of Node where there is something like it. */
export async function http(rounds: number): Promise<Row[]> {
  return [...(await withPool(rounds)), ...(await withoutPool(rounds)), ...(await crowded(rounds))]
}

async function withPool(rounds: number): Promise<Row[]> {
  await using daemon = await BenchDaemon.open({ pool: 4 })
  const { client } = daemon
  const pooled = await series(rounds, 3, async () => {
    await daemon.filled(3)
    return firstOutput(client)
  })
  const sandbox = await client.create({ templateID: INTERPRETER })
  const rows: Row[] = [
    { what: 'create to first output, from the pool', unit: 'ms', measured: pooled, aim: 4 },
    { what: "commands.run 'true'", unit: 'ms', measured: await series(rounds * 5, 10, () => ranTrue(client, sandbox)), aim: 4 },
    { what: "runCode '1+1'", unit: 'ms', measured: await series(rounds * 5, 10, () => ranCode(client, sandbox)), aim: 3 },
    ...(await transfers(client, sandbox)),
  ]
  await daemon.filled(3)
  const burst = await Promise.all(Array.from({ length: BURST }, () => firstOutput(client)))
  return [...rows, { what: `create to first output, ${BURST} at once`, unit: 'ms', measured: summary(burst), aim: 500 }]
}

async function withoutPool(rounds: number): Promise<Row[]> {
  await using daemon = await BenchDaemon.open({ pool: 0 })
  const measured = await series(rounds, 3, () => firstOutput(daemon.client))
  return [{ what: 'create to first output, without a pool', unit: 'ms', measured, aim: 25 }]
}

/** Many idle sandboxes, and what the daemon takes for them. */
async function crowded(rounds: number): Promise<Row[]> {
  await using daemon = await BenchDaemon.open({ pool: 4 })
  const { client } = daemon
  const count = rounds * IDLE_PER_ROUND
  let left = count
  const make = async () => {
    for (; left > 0; left -= 1) await client.create({ templateID: INTERPRETER, timeout: 7200 })
  }
  const seconds = (await took(() => Promise.all(Array.from({ length: AT_ONCE }, make)))) / 1000
  await daemon.filled(3)
  const residentMiB = await daemon.residentMiB()
  const percent = await daemon.processorPercent(QUIET_S)
  const among = await series(rounds, 3, async () => {
    await daemon.filled(3)
    return took(() => client.create({ templateID: INTERPRETER, timeout: 7200 }))
  })
  return [
    {
      what: `${count} idle sandboxes, created in ${seconds.toFixed(0)} s: memory of the daemon`,
      unit: 'MiB',
      measured: summary([residentMiB]),
      aim: 250,
    },
    { what: `  its share of a core over ${QUIET_S} s`, unit: '%', measured: summary([percent]), aim: 2 },
    { what: '  create among them', unit: 'ms', measured: among, aim: 10 },
  ]
}

/** From the request to the first line of output; the end of the sandbox is not part of it. */
async function firstOutput(client: WireClient): Promise<number> {
  const begun = performance.now()
  const sandbox = await client.create({ templateID: INTERPRETER })
  const headers = { ...addressed(sandbox, 49999), 'content-type': 'application/json' }
  const response = await client.open('POST', '/execute', { headers, body: JSON.stringify({ code: 'print("here")' }) })
  let text = ''
  let ms: number | undefined
  for await (const piece of response.setEncoding('utf8')) {
    text += piece
    if (ms === undefined && text.includes('"here\\n"')) ms = performance.now() - begun
  }
  if (ms === undefined) throw new Error(`no output came: ${text}`)
  await client.control('DELETE', `/sandboxes/${sandbox.sandboxID}`)
  return ms
}

async function ranTrue(client: WireClient, sandbox: WireSandbox): Promise<number> {
  return took(async () => {
    const { exitCode } = await client.run(sandbox, 'true')
    if (exitCode !== 0) throw new Error(`true ended with ${exitCode}`)
  })
}

async function ranCode(client: WireClient, sandbox: WireSandbox): Promise<number> {
  return took(async () => {
    const lines = await client.execute(sandbox, '1+1')
    if (!lines.some(({ type, text }) => type === 'result' && text === '2')) throw new Error(`1+1 was ${JSON.stringify(lines)}`)
  })
}

/** The same bytes to and from a sandbox, and to and from a server that does nothing but write and read files. */
async function transfers(client: WireClient, sandbox: WireSandbox): Promise<Row[]> {
  await using server = await FileServer.open()
  const inside = { up: '/files?path=%2Ftmp%2Fbig.bin', down: '/files?path=%2Ftmp%2Fbig.bin', headers: addressed(sandbox) }
  const plain = { up: `${server.url}/big.bin`, down: `${server.url}/big.bin`, headers: {} }
  const rate = async (once: () => Promise<unknown>) => {
    const rates: number[] = []
    for (let round = 0; round < TRANSFERS + 1; round += 1) rates.push((PIECES * PIECE.length) / 1000 / (await took(once)))
    return summary(rates.slice(1))
  }
  const rows: Row[] = []
  for (const [way, what] of [
    [up, `${PIECES} MiB up`],
    [down, `${PIECES} MiB down`],
  ] as const) {
    const ours = await rate(() => way(client, inside))
    const theirs = await rate(() => way(client, plain))
    rows.push({ what, unit: 'MB/s', measured: ours, aim: 300 })
    rows.push({ what: '  a plain server of Node, the same', unit: 'MB/s', measured: theirs, ratio: theirs.p50 / ours.p50 })
  }
  return rows
}

interface Place {
  up: string
  down: string
  headers: Record<string, string>
}

async function up(client: WireClient, { up: target, headers }: Place): Promise<void> {
  let left = PIECES
  const body = new Readable({
    highWaterMark: 4 * PIECE.length,
    read() {
      left -= 1
      this.push(left < 0 ? null : PIECE)
    },
  })
  const response = await client.open('POST', target, { headers: { ...headers, 'content-type': 'application/octet-stream' }, body })
  for await (const _ of response);
  if (response.statusCode !== 200) throw new Error(`the upload was answered with ${response.statusCode}`)
}

async function down(client: WireClient, { down: target, headers }: Place): Promise<void> {
  const response = await client.open('GET', target, { headers })
  let bytes = 0
  for await (const piece of response as AsyncIterable<Buffer>) bytes += piece.length
  if (bytes !== PIECES * PIECE.length) throw new Error(`${bytes} bytes came`)
}
