import { Fault } from '@caisson/wire'

/** The sort key of lists: a time, then an id as tie-breaker. */
export interface Placed {
  readonly atMs: number
  readonly id: string
}

export type Order = 'asc' | 'desc'

const CURSOR = /^(\d{1,15})__([a-z0-9-]{1,64})__(asc|desc)$/

/**
 * One page of `items`, in order. The cursor holds the position of the last item rather than a count, so that items added or removed meanwhile cause neither
 * repeats nor gaps. Throws BAD_REQUEST for a cursor from a list in another order.
 */
export function pageOf<T>(
  items: readonly T[],
  place: (item: T) => Placed,
  wish: { order: Order; limit: number; nextToken?: string | undefined },
): { page: T[]; headers: Record<string, string> } {
  const { order, limit, nextToken } = wish
  const direction = order === 'asc' ? 1 : -1
  const compare = (one: Placed, other: Placed) =>
    direction * (one.atMs - other.atMs || (one.id < other.id ? -1 : one.id > other.id ? 1 : 0))
  const after = nextToken === undefined || nextToken === '' ? undefined : readCursor(nextToken, order)
  const placed = items.map((item) => ({ item, at: place(item) })).sort((one, other) => compare(one.at, other.at))
  const rest = after === undefined ? placed : placed.filter(({ at }) => compare(at, after) > 0)
  const page = rest.slice(0, limit)
  const last = page.at(-1)
  const headers: Record<string, string> = last === undefined || rest.length <= limit ? {} : { 'x-next-token': cursor(last.at, order) }
  return { page: page.map(({ item }) => item), headers }
}

function cursor({ atMs, id }: Placed, order: Order): string {
  return Buffer.from(`${atMs}__${id}__${order}`).toString('base64url')
}

function readCursor(token: string, order: Order): Placed {
  const [, atMs, id, itsOrder] = CURSOR.exec(Buffer.from(token, 'base64url').toString('latin1')) ?? []
  if (atMs !== undefined && id !== undefined && itsOrder === order) return { atMs: Number(atMs), id }
  throw new Fault('BAD_REQUEST', 'nextToken: not the X-Next-Token of a list with the same order')
}
