import type { ServerResponse } from 'node:http'
import type { Fleet } from '../../sandbox/fleet.ts'
import type { Visit } from '../call.ts'
import { resetConnection } from '../reset.ts'

/** Limit for all answers to one owner together: a few of the largest results. */
const MAX_UNREAD_BYTES = 256 * 1024 * 1024

/** By owner, per daemon: answers in progress. */
const given = new WeakMap<Fleet, Map<string, Set<ServerResponse>>>()

/**
 * Output that a client does not read stays in this process's memory, and a result is written as a whole. Call the returned function when a client is sent more
 * than it takes: if its owner's clients have left too much unread, this answer is broken off.
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
