import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { askInHttp2 } from './inspect/from-http2.ts'
import { refuseInWords } from './refusal.ts'

const RST_STREAM = 3
const HEADERS = 1
const frame = (kind: number, flags: number, stream: number, payload: Buffer): Buffer => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.set([kind, flags], 3)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}
/** GET, http, and a path; for one host, and for another. */
const asked = Buffer.concat([
  Buffer.from([0x82, 0x86, 0x84, 0x41, 1]),
  Buffer.from('a'),
  Buffer.from([0, 4]),
  Buffer.from('host'),
  Buffer.from([1]),
  Buffer.from('b'),
])

const refused = { rule: 'mode allow', reason: 'no rule allows it', wouldAllow: null }
const ways: Record<string, (peer: Socket) => void> = {
  'of a connection that is refused': (peer) => refuseInWords(peer, 'i1', { way: 'direct', decision: refused }),
  'that is malformed': (peer) => askInHttp2(Object.assign(peer.resume(), { allowHalfOpen: false }), 'http', () => undefined),
}
test.each(Object.entries(ways))('a question %s, and is taken back in the same breath, ends no host', async (_, serve) => {
  const server = createServer({ pauseOnConnect: true }, (peer) => serve(peer.on('error', () => peer.destroy()))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined)
  let heard = Buffer.alloc(0)
  client.on('data', (bytes) => {
    heard = Buffer.concat([heard, bytes])
  })
  const back = [1, 3, 5].flatMap((stream) => [frame(HEADERS, 5, stream, asked), frame(RST_STREAM, 0, stream, Buffer.from([0, 0, 0, 8]))])
  client.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0, Buffer.alloc(0)), ...back]))
  client.write(frame(HEADERS, 5, 7, asked))
  // An answer to the last of them, which has not been taken back.
  await expect.poll(() => [4, 5].some((flags) => heard.includes(Buffer.from([HEADERS, flags, 0, 0, 0, 7]))), { timeout: 20_000 }).toBe(true)
  client.destroy()
  server.close()
})
