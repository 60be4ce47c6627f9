import type { ServerResponse } from 'node:http'
import type { Fleet } from '../../sandbox/fleet.ts'
import type { Visit } from '../call.ts'
import { resetConnection } from '../reset.ts'

/** Of one owner, all answers together: some of the largest results that there may be. */
const MAX_UNREAD_BYTES = 256 * 1024 * 1024

/** By owner, of one daemon: answers that are being given. */
const given = new WeakMap<Fleet, Map<string, Set<ServerResponse>>>()

/**
 * What a client does not read is in this process's memory, and a result is written as a whole. The result is called when a client has been sent more than it takes: where
 * its owner's have left too much unread, it is broken off.
 */
export function unread({ rooms, entered, request, reply }: Visit): () => void {
  const { owner } = entered.record
  const all = given.get(rooms.fleet) ?? new Map<string, Set<ServerResponse>>()
  const own = all.get(owner) ?? new Set()
  given.set(rooms.fleet, all.set(owner, own.add(reply)))
  reply.once('close', () => void (own.delete(reply) && own.size === 0 && all.get(owner) === own && all.delete(owner)))
  return () => {
    let bytes = 0
    for (const one of own) bytes += one.writableLength
    if (bytes > MAX_UNREAD_BYTES) resetConnection(request.socket)
  }
}
