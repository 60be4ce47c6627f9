import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { type Http1Asker, Http1Askers } from './from-http1.ts'

test('no more than a hundred requests of one connection wait for their answers; one that sends more is ended, and told of once', async () => {
  const askers = new Http1Askers()
  const told: number[] = []
  let asked = 0
  const asker: Http1Asker = {
    scheme: 'http',
    asked: (_, reply) => {
      asked += 1
      // The first rounds are answered, so that others may come after them.
      if (asked <= 50) reply.finish([])
    },
    upgraded: () => undefined,
    crowded: (waiting) => told.push(waiting),
  }
  const server = createServer((peer) => askers.take(peer.pause(), asker)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined)
  // With a reset, as not all of what it says is read.
  const closed = new Promise((resolve) => client.on('close', resolve))
  const request = 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'
  client.write(request.repeat(50))
  let heard = ''
  for await (const bytes of client.iterator({ destroyOnReturn: false })) {
    heard += bytes
    if (heard.split('HTTP/1.1 200').length > 50) break
  }
  client.write(request.repeat(2000))
  client.resume()
  await closed
  expect([asked, told]).toEqual([150, [100]])
  askers.close()
  server.close()
})
