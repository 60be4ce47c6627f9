import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { Outflow } from '../host/airlock/dlp-outflow.ts'
import { DlpPassage } from '../host/airlock/dlp-passage.ts'
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
  return Object.entries(kinds).map(([what, body]): Row => {
    const speeds = Array.from({ length: Math.min(rounds, 10) }, () => {
      const watch = passage().watch({ what: 'body', way: 'out', fields: [] })
      const begun = performance.now()
      for (let at = 0; at < body.length; at += CHUNK) {
        const passed = watch?.chunk(body.subarray(at, at + CHUNK))
        if (passed === undefined || 'rule' in passed) throw new Error(`${what}: ${passed?.reason ?? 'nobody looked'}`)
      }
      watch?.end()
      return body.length / 1e3 / (performance.now() - begun)
    })
    return { what, unit: 'MB/s', measured: summary(speeds) }
  })
}

function passage(): DlpPassage {
  const { dlp: policy } = readPolicy({ mode: 'open', dlp: { unscannable: 'alert' } }, 'network')
  if (policy === null) throw new Error('no policy')
  return new DlpPassage(new Outflow(policy, { sandbox: 'bench', canaries: [], record: () => true, spent: new Map() }), TARGET)
}

function repeated(bytes: Buffer): Buffer {
  return Buffer.concat(Array<Buffer>(Math.ceil(BYTES / bytes.length)).fill(bytes)).subarray(0, BYTES)
}
