import { Fault, type WallName } from '@caisson/wire'

/** What a daemon reports about a key. The key itself is shown only once. */
export interface KeyInfo {
  id: string
  owner: string
  operator: boolean
  quotas: Quotas
  leastWall: WallName
  createdAt: string
}

/** Current usage and limits of the owner's snapshots; null: unlimited. */
export interface KeptSnapshots {
  count: number
  mostCount: number | null
  bytes: number
  mostBytes: number | null
}

/** Concurrent usage limits of one owner; null: limited only by the machine. */
export interface Quotas {
  sandboxes: number | null
  createsPerSecond: number | null
  cpus: number | null
  memoryMiB: number | null
  diskMiB: number | null
  /** Null: the daemon's default for everybody. */
  snapshots: number | null
  snapshotMiB: number | null
}

/** The part of a daemon's API that manages keys. */
interface Told {
  tell(method: 'GET' | 'POST' | 'DELETE', path: string, body: object | undefined, what: string, signal: AbortSignal): Promise<unknown>
}

export async function listKeys(daemon: Told, signal: AbortSignal): Promise<(KeyInfo & { snapshots: KeptSnapshots })[]> {
  return (await daemon.tell('GET', '/keys', undefined, 'list keys', signal)) as (KeyInfo & { snapshots: KeptSnapshots })[]
}

export async function createKey(
  daemon: Told,
  wish: { owner: string; operator: boolean; quotas: Quotas; leastWall?: WallName },
  signal: AbortSignal,
): Promise<KeyInfo & { key: string }> {
  return (await daemon.tell('POST', '/keys', wish, 'create a key', signal)) as KeyInfo & { key: string }
}

export async function revokeKey(daemon: Told, id: string, signal: AbortSignal): Promise<void> {
  if (!/^[\w-]{1,64}$/.test(id))
    throw new Fault('BAD_REQUEST', `${JSON.stringify(id)} is not an id of a key`, { hint: '`caisson keys` lists them.' })
  await daemon.tell('DELETE', `/keys/${id}`, undefined, `revoke key ${id}`, signal)
}
