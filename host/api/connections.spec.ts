import { once } from 'node:events'
import { type AddressInfo, connect, createServer, Socket } from 'node:net'
import { MAX_REQUESTS, MAX_SANDBOX_REQUESTS } from '@caisson/wire'
import { expect, test } from 'vitest'
import { Connections } from './connections.ts'
import { OpenRequests } from './open-requests.ts'

/** Whether the daemon's end of each is still open. */
const openOf = (sockets: readonly Socket[]) => sockets.map(({ destroyed }) => !destroyed)

function some(connections: Connections, count: number): Socket[] {
  const sockets = Array.from({ length: count }, () => new Socket())
  for (const socket of sockets) connections.add(socket)
  return sockets
}

test('when all are taken, the one that has been quiet for longest makes room, and none on which an owner has something under way', () => {
  const connections = new Connections(3)
  const [one, two, three] = some(connections, 3) as [Socket, Socket, Socket]
  const done = [connections.busy(one), connections.busy(one), connections.busy(two)]
  const [four] = some(connections, 1) as [Socket]
  expect(openOf([one, two, three, four])).toEqual([true, true, false, true])
  done[0]?.()
  done[2]?.()
  // Quiet since just now: after the fourth.
  const [five] = some(connections, 1) as [Socket]
  expect(openOf([one, two, four, five])).toEqual([true, true, false, true])
  connections.busy(two)
  connections.busy(five)
  const [six] = some(connections, 1) as [Socket]
  expect(openOf([one, two, five, six])).toEqual([true, true, true, false])
})

test('a connection that has closed has no place any more, whatever was under way on it', async () => {
  const connections = new Connections(1)
  const server = createServer((socket) => connections.add(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    for (let round = 0; round < 3; round += 1) {
      const accepted = once(server, 'connection')
      const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
      const [socket] = (await accepted) as [Socket]
      expect(socket.destroyed).toBe(false)
      const done = connections.busy(socket)
      const closed = once(socket, 'close')
      client.destroy()
      socket.resume()
      await closed
      done()
    }
  } finally {
    server.close()
  }
})

test('an owner has at most as many requests under way as are left for others, however many sandboxes it has', () => {
  const open = new OpenRequests(new Connections())
  const fill = (owner: string) => {
    const done: (() => void)[] = []
    for (let at = 0; ; at += 1) {
      const sandbox = `${owner}-${Math.floor(at / MAX_SANDBOX_REQUESTS)}`
      if (open.crowded(owner, sandbox) !== undefined) return done
      done.push(open.admit(new Socket(), owner, sandbox))
    }
  }
  const [one, two] = [fill('one'), fill('two')]
  expect([one.length, two.length]).toEqual([MAX_REQUESTS / 2, MAX_REQUESTS / 4])
  expect([open.crowded('one', 'one-9'), open.crowded('two', 'two-9'), open.crowded('three', 'three-0')]).toEqual([
    'owner',
    'owner',
    undefined,
  ])
  // Whoever knocks on its sandboxes does not keep an owner from ending them.
  expect([open.crowded('one'), open.crowded('two')]).toEqual([undefined, undefined])
  while (open.crowded('one') === undefined) one.push(open.admit(new Socket(), 'one'))
  expect([open.crowded('two'), open.crowded('three', 'three-0')]).toEqual([undefined, undefined])
  for (const done of [...one, ...two]) done()
  expect(fill('two').length).toBe(MAX_REQUESTS / 2)
})
