import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { Outflow } from '../host/airlock/dlp-outflow.ts'
import { DlpPassage } from '../host/airlock/dlp-passage.ts'
import { Searchers } from '../host/airlock/search/searchers.ts'
import { readPolicy } from '../policy/index.ts'
import type { Row } from './report.ts'
import { summary } from './statistics.ts'

const BYTES = 8 * 1024 * 1024
const CHUNK = 64 * 1024
const TARGET = { name: 'api.example.com', address: null, port: 443 }

/** What everything that leaves goes through, with all detectors: the cost of a byte, by what it is part of. */
export async function dlp(rounds: number): Promise<Row[]> {
  const record = Array.from({ length: 40 }, (_, index) => ({
    id: index,
    name: `item ${index}`,
    tags: ['new', 'sale'],
    price: index * 1.25,
    note: 'a line of text, as people write it',
  }))
  const json = Buffer.from(JSON.stringify(record))
  const kinds: Record<string, Buffer> = {
    'JSON of an API': repeated(json),
    'random bytes': randomBytes(BYTES),
    'a picture in base64': repeated(Buffer.from(randomBytes(CHUNK).toString('base64'))),
    'JSON in gzip, as it is packed': gzipSync(repeated(json)),
  }
  await using searchers = new Searchers(fileURLToPath(new URL('searcher.mjs', import.meta.url)))
  const rows: Row[] = []
  for (const [what, body] of Object.entries(kinds)) {
    const speeds: number[] = []
    const busy: number[] = []
    for (let round = 0; round < Math.min(rounds, 10); round += 1) {
      const before = performance.eventLoopUtilization()
      const begun = performance.now()
      await search(searchers, what, body)
      speeds.push(body.length / 1e3 / (performance.now() - begun))
      busy.push(performance.eventLoopUtilization(before).utilization * 100)
    }
    rows.push({ what, unit: 'MB/s', measured: summary(speeds) })
    rows.push({ what: `${what}: the host's own thread is busy`, unit: '%', measured: summary(busy) })
  }
  return rows
}

async function search(searchers: Searchers, what: string, body: Buffer): Promise<void> {
  const watch = passage(searchers).watch({ what: 'body', way: 'out', fields: [] })
  for (let at = 0; at < body.length; at += CHUNK) {
    const passed = await watch?.chunk(body.subarray(at, at + CHUNK))
    if (passed === undefined || 'rule' in passed) throw new Error(`${what}: ${passed?.reason ?? 'nobody looked'}`)
  }
  await watch?.end()
  watch?.close()
}

function passage(searchers: Searchers): DlpPassage {
  const { dlp: policy } = readPolicy({ mode: 'open', dlp: { unscannable: 'alert' } }, 'network')
  if (policy === null) throw new Error('no policy')
  return new DlpPassage(new Outflow(policy, { sandbox: 'bench', canaries: [], record: () => true, spent: new Map(), searchers }), TARGET)
}

function repeated(bytes: Buffer): Buffer {
  return Buffer.concat(Array<Buffer>(Math.ceil(BYTES / bytes.length)).fill(bytes)).subarray(0, BYTES)
}
