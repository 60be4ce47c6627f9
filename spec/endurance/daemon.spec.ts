import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { SpecDaemon } from '../api/daemon.ts'
import { WireClient, type WireSandbox } from '../api/wire-client.ts'
import { Chance } from './chance.ts'
import { hash, type Known, RestlessClient } from './client.ts'
import { descriptors, leftovers } from './leftovers.ts'
import { Outages } from './outages.ts'

const CLIENTS = 16
const OUTAGES = 10
/** CAISSON_ENDURANCE_S makes it longer. */
const SECONDS = Number(process.env['CAISSON_ENDURANCE_S'] ?? 40)
/** What a killed daemon left undone is done at the next start; what ends by itself has had its time. */
const SETTLE_MS = 20_000

it(`${CLIENTS} clients do as chance has it, while the daemon is killed ${OUTAGES} times`, {
  timeout: SECONDS * 1000 + 400_000,
}, async () => {
  const seed = Number(process.env['CAISSON_ENDURANCE_SEED'] ?? Date.now() % 2 ** 31)
  console.log(`CAISSON_ENDURANCE_SEED=${seed}`)
  await using first = await SpecDaemon.open({ hasPool: true })
  const outages = new Outages(first)
  const clients = Array.from({ length: CLIENTS }, (_, index) => new RestlessClient(`client-${index}`, outages, new Chance(seed + index)))
  try {
    const over = performance.now() + SECONDS * 1000
    const working = clients.map((client) => client.goOn(() => performance.now() > over))
    for (let round = 0; round < OUTAGES; round += 1) {
      await pause((SECONDS * 1000) / (OUTAGES + 1) - 500)
      await outages.one()
    }
    await Promise.all(working)
    expect(outages.count).toBe(OUTAGES)
    const tallies = clients.map(({ tally }) => tally)
    console.log(`outages of ${outages.seconds} s`)
    console.log(JSON.stringify({ done: sum(tallies.map(({ done }) => done)), refused: sum(tallies.map(({ refused }) => refused)) }))
    await reckon(outages.daemon, clients)
    expect(
      tallies.flatMap(({ undocumented }) => undocumented),
      'what no client could have expected',
    ).toEqual([])
  } finally {
    for (const client of clients) client[Symbol.dispose]()
    await outages.daemon[Symbol.asyncDispose]()
  }
})

/** What lives is what should live, with its files; what should be gone is gone; and when all are gone nothing of them is left. */
async function reckon(daemon: SpecDaemon, clients: readonly RestlessClient[]): Promise<void> {
  const all = clients.flatMap(({ known }) => known)
  using wire = new WireClient(daemon.url, daemon.key)
  const ending = all.filter(({ endsMs }) => endsMs < performance.now() + SETTLE_MS)
  await eventually('what had its time is gone', async () => {
    const live = await listed(wire)
    const late = ending.filter(({ endsMs, sandbox }) => endsMs < performance.now() && live.has(sandbox.sandboxID))
    return (await Promise.all(late.map((one) => recorded(daemon.home, one)))).flat()
  })
  const live = await listed(wire)
  const lives = ({ sandbox }: Known) => live.has(sandbox.sandboxID)
  const due = (one: Known) => one.state === 'alive' && one.endsMs > performance.now() + SETTLE_MS
  const risen = all.filter((one) => one.state === 'gone' && lives(one))
  expect(await Promise.all(risen.map((one) => recorded(daemon.home, one))), 'alive, and should be gone').toEqual([])
  const lost = all.filter((one) => due(one) && !lives(one))
  expect(await Promise.all(lost.map((one) => recorded(daemon.home, one))), 'gone, and should be alive').toEqual([])
  expect(all.filter(due).length, 'some are left to be looked at').toBeGreaterThan(0)
  for (const { sandbox, files } of all.filter(due)) {
    await wire.control('POST', `/v2/sandboxes/${sandbox.sandboxID}/connect`, { timeout: 600 })
    expect((await wire.run(sandbox, 'echo alive')).stdout).toBe('alive\n')
    for (const [name, sum] of files) expect(hash(await wire.download(sandbox, name)), `${name} of ${sandbox.sandboxID}`).toBe(sum)
  }

  const ids = new Set([...all.map(idOf), ...live])
  for (const id of await listed(wire)) {
    // The time of one may be up at this moment.
    await wire.control('DELETE', `/sandboxes/${id}`).catch((error) => expect(error).toMatchObject({ status: 404 }))
  }
  wire[Symbol.dispose]()
  // The daemon itself: what it held for them, it holds no longer. What waits in its pool it is connected with: keeper and agent of each.
  await eventually('its descriptors are back', async () => {
    const page = await (await daemon.fetch('/metrics')).text()
    const waiting = Number(/caisson_pool\{what="waiting"\} (\d+)/.exec(page)?.[1])
    const open = await descriptors(daemon.process.pid as number)
    return open - 2 * waiting > 120 || Number.isNaN(waiting) ? [`${open} descriptors, ${waiting} waiting`] : []
  })
  await daemon.stop()
  await eventually('nothing is left', () => leftovers(daemon.home, ids))
}

/** The lines of the record that name a sandbox, commands and plans apart. */
async function recorded(home: string, { sandbox: { sandboxID: id }, history }: Known): Promise<string[]> {
  const lines = (await readFile(join(home, 'audit', 'audit.jsonl'), 'utf8')).split('\n')
  return [id, ...history, ...lines.filter((line) => line.includes(id) && !line.includes('"kind":"exec"')).map((line) => line.slice(0, 300))]
}

async function listed(wire: WireClient): Promise<Set<string>> {
  const ids = new Set<string>()
  let token = ''
  do {
    const response = await wire.open('GET', `/v2/sandboxes?limit=100${token === '' ? '' : `&nextToken=${encodeURIComponent(token)}`}`, {
      headers: { 'x-api-key': wire.key },
    })
    const pieces: Buffer[] = []
    for await (const piece of response as AsyncIterable<Buffer>) pieces.push(piece)
    for (const { sandboxID } of JSON.parse(Buffer.concat(pieces).toString()) as WireSandbox[]) ids.add(sandboxID)
    token = String(response.headers['x-next-token'] ?? '')
  } while (token !== '')
  return ids
}

/** Waits until `wrong` finds nothing; what it found last is what is said. The bound is against hanging. */
async function eventually(what: string, wrong: () => Promise<string[]>, ms = 60_000): Promise<void> {
  const deadline = Date.now() + ms
  let found = await wrong()
  while (found.length > 0 && Date.now() < deadline) {
    await pause(200)
    found = await wrong()
  }
  expect(found, what).toEqual([])
}

function idOf({ sandbox }: Known): string {
  return sandbox.sandboxID
}

function sum(parts: readonly Record<string, number>[]): Record<string, number> {
  const total: Record<string, number> = {}
  for (const part of parts) for (const [name, count] of Object.entries(part)) total[name] = (total[name] ?? 0) + count
  return total
}
