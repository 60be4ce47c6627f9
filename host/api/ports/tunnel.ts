import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { IDLE_CONNECTION_MS } from '@caisson/wire'
import { settled } from '../../lifetimes.ts'
import type { Visit } from '../call.ts'
import type { Upgrade } from '../incoming.ts'
import { resetConnection } from '../reset.ts'

/** After one side has gone, how long the other may take to receive the rest. */
const TAIL_MS = 10_000

/** Connects the two sides, each direction until its own end. Resolves when the client's connection is closed. */
export async function join(visit: Visit, client: Upgrade, inside: { socket: Duplex; head: Buffer }, answer: string): Promise<void> {
  visit.reply.detachSocket(client.socket as Socket)
  client.accepted()
  client.socket.write(answer, 'latin1')
  if (inside.head.length > 0) client.socket.write(inside.head)
  if (client.head.length > 0) inside.socket.write(client.head)
  await relay(client.socket as Socket, inside.socket)
}

async function relay(client: Socket, inside: Duplex): Promise<void> {
  const over = settled<void>()
  client.setTimeout(IDLE_CONNECTION_MS, () => resetConnection(client))
  client.once('close', () => {
    over.resolve()
    if (client.readableEnded) setTimeout(() => inside.destroy(), TAIL_MS).unref()
    else inside.destroy()
  })
  inside.once('close', () => {
    if (!inside.readableEnded) resetConnection(client)
  })
  client.pipe(inside)
  inside.pipe(client)
  await over.promise
}
