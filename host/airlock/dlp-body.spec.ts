import { readPolicy } from '@caisson/policy'
import { expect, test } from 'vitest'
import { Outflow } from './dlp-outflow.ts'
import { DlpPassage } from './dlp-passage.ts'
import { WebSocketFrames } from './inspect/web-socket.ts'
import { Searchers } from './search/searchers.ts'

test('messages of a web socket that come by the hundred do not keep others waiting', async () => {
  const { dlp: policy } = readPolicy({ mode: 'open', dlp: { detectors: { all: 'off', money: 'block' } } }, 'network')
  if (policy === null) throw new Error('no dlp')
  await using searchers = new Searchers('')
  Object.assign(searchers, { warm: () => undefined })
  const outflow = new Outflow(policy, { sandbox: 'i1', canaries: [], record: () => true, spent: new Map(), searchers })
  const passage = new DlpPassage(outflow, { name: 'a.example', address: null, port: 80 })
  let [turns, isOver] = [0, false]
  const count = () => {
    turns += 1
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  for (const payload of ['', 'x']) {
    const frame = Buffer.concat([Buffer.from([0x89, 0x80 | payload.length, 0, 0, 0, 0]), Buffer.from(payload)])
    const frames = new WebSocketFrames(true, () => passage.watch({ what: 'message', way: 'out', fields: [] })).resume()
    const before = turns
    await new Promise((resolve) => frames.write(Buffer.concat(Array.from({ length: 128 }, () => frame)), resolve))
    // Those that say nothing need no looking.
    expect([payload, turns - before >= 128 / (payload === '' ? 64 : 16) - 2]).toEqual([payload, true])
  }
  isOver = true
})
