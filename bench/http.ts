import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, open, rm, stat } from 'node:fs/promises'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { bare } from './bare.ts'
import { answer, BenchDaemon, drain, fill, type Guest } from './daemon.ts'
import type { Row } from './report.ts'
import { type Summary, series, summary, took } from './statistics.ts'

const BURST = 100
/** Fewer than half of what waits: nothing is made in advance meanwhile. */
const IN_A_ROW = 20
const WARM_ROWS = 3
const FILE_BYTES = 256 * 2 ** 20
const FILE_ROUNDS = 5
/** Whoever asks now and then finds everything where the processor has to fetch it first; whoever asks at once again does not. */
const REST_MS = 150
/** In which the pool is full again. */
const REFILL_MS = 8000

/** Over HTTP, as any client would. */
export async function http(rounds: number): Promise<Row[]> {
  const rows: Row[] = []
  {
    await using daemon = await BenchDaemon.open()
    await pause(REFILL_MS)
    const fresh = summary(await row(daemon))
    const guest = await daemon.create()
    const command = await series(rounds * 5, 20, () => took(() => daemon.true(guest)))
    const code = await series(rounds * 5, 20, () => took(() => daemon.code(guest)))
    await daemon.end(guest)
    rows.push({ what: 'create to first output, pool', unit: 'ms', measured: await inARow(daemon, rounds), aim: 4 })
    rows.push({ what: 'the same, one now and then', unit: 'ms', measured: await creates(daemon, rounds, REST_MS), aim: 4 })
    rows.push({ what: `the same, the first ${IN_A_ROW} of a daemon just started`, unit: 'ms', measured: fresh })
    rows.push({ what: 'command true', unit: 'ms', measured: command, aim: 4 })
    rows.push({ what: 'code 1+1', unit: 'ms', measured: code, aim: 3 })
    await pause(REFILL_MS)
    rows.push({ what: `burst of ${BURST} that nobody foresaw, to first output`, unit: 'ms', measured: await burst(daemon), aim: 500 })
    await pause(REFILL_MS)
    rows.push({ what: `burst of ${BURST} after another, to first output`, unit: 'ms', measured: await burst(daemon), aim: 500 })
    await pause(REFILL_MS)
    const keeper = await daemon.create('base')
    const speed = async (work: () => Promise<void>) => FILE_BYTES / 1000 / (await took(work))
    rows.push({
      what: 'upload of 256 MiB',
      unit: 'MB/s',
      measured: await series(FILE_ROUNDS, 1, () => speed(() => daemon.upload(keeper, FILE_BYTES))),
      aim: 300,
    })
    // What was sent is written to the disk first, as the file of the reference is: writing takes processor time that the download would have.
    await daemon.run(keeper, '/bin/sync')
    rows.push({
      what: 'download of 256 MiB',
      unit: 'MB/s',
      measured: await series(FILE_ROUNDS, 1, () => speed(() => daemon.download(keeper, FILE_BYTES))),
      aim: 300,
    })
    await daemon.end(keeper)
  }
  rows.splice(5, 0, await bare(rounds * 5))
  rows.push(...(await plain()))
  await using daemon = await BenchDaemon.open(0)
  await daemon.end(await daemon.create())
  rows.splice(3, 0, { what: 'create to first output, no pool', unit: 'ms', measured: await creates(daemon, rounds, 0), aim: 25 })
  return rows
}

async function creates(daemon: BenchDaemon, rounds: number, restMs: number): Promise<Summary> {
  const made: Guest[] = []
  const measured = await series(rounds, 5, async () => {
    const ms = await took(async () => {
      const guest = await daemon.create()
      made.push(guest)
      await daemon.code(guest)
    })
    await Promise.all(made.splice(0).map((guest) => daemon.end(guest)))
    await pause(restMs)
    return ms
  })
  return measured
}

/**
 * Of a daemon (and a client) at work: what it answered before has warmed their code, which a row more does for what only a create runs. The pool fills
 * again between rows.
 */
async function inARow(daemon: BenchDaemon, rounds: number): Promise<Summary> {
  const values: number[] = []
  for (let nth = -WARM_ROWS; values.length < rounds; nth++) {
    await pause(REFILL_MS)
    const measured = await row(daemon)
    if (nth >= 0) values.push(...measured)
  }
  return summary(values)
}

/** As many, one after another, as surely wait; none ends meanwhile. */
async function row(daemon: BenchDaemon): Promise<number[]> {
  const made: Guest[] = []
  const values: number[] = []
  for (let left = IN_A_ROW; left > 0; left--) {
    values.push(
      await took(async () => {
        const guest = await daemon.create()
        made.push(guest)
        await daemon.code(guest)
      }),
    )
  }
  await Promise.all(made.map((guest) => daemon.end(guest)))
  return values
}

async function burst(daemon: BenchDaemon): Promise<Summary> {
  const begun = performance.now()
  const made: Guest[] = []
  const each = await Promise.all(
    Array.from({ length: BURST }, async () => {
      const guest = await daemon.create()
      made.push(guest)
      await daemon.code(guest)
      return performance.now() - begun
    }),
  )
  await Promise.all(made.map((guest) => daemon.end(guest)))
  return summary(each)
}

/** The reference: Node's own server, and a file of the host. */
async function plain(): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'cai-plain-'))
  const path = join(folder, 'large')
  const server = createServer((asked, reply) => {
    const work =
      asked.method === 'POST' ? pipeline(asked, createWriteStream(path)).then(() => reply.end()) : pipeline(createReadStream(path), reply)
    work.catch(() => reply.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true })
  try {
    const ask = (method: string) => request({ host: '127.0.0.1', port, method, agent })
    const up = await series(FILE_ROUNDS, 1, async () => {
      const ms = await took(async () => {
        const asked = ask('POST')
        await fill(asked, FILE_BYTES)
        await drain(await answer(asked), 0)
      })
      return FILE_BYTES / 1000 / ms
    })
    await written(path)
    const down = await series(FILE_ROUNDS, 1, async () => {
      const ms = await took(async () => {
        const asked = ask('GET')
        asked.end()
        await drain(await answer(asked), (await stat(path)).size)
      })
      return FILE_BYTES / 1000 / ms
    })
    return [
      { what: 'upload, Node and a file of the host', unit: 'MB/s', measured: up },
      { what: 'download, Node and a file of the host', unit: 'MB/s', measured: down },
    ]
  } finally {
    agent.destroy()
    server.close()
    await rm(folder, { recursive: true, force: true })
  }
}

async function written(path: string): Promise<void> {
  await using file = await open(path)
  await file.sync()
}
