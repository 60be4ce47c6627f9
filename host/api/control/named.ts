import { Fault } from '@caisson/wire'
import type { SandboxRecord } from '../../sandbox/record.ts'
import type { OwnedCall } from '../call.ts'

/** The sandbox that the path names, running or paused. Throws NOT_FOUND: also for one of another owner, and for one that is gone. */
export function namedSandbox(call: OwnedCall): SandboxRecord {
  const record = rememberedSandbox(call)
  if (record.state === 'gone') throw noSandbox(record.id)
  return record
}

/** As `namedSandbox`, but also one that is gone, as long as it is remembered. */
export function rememberedSandbox(call: OwnedCall): SandboxRecord {
  return call.rooms.fleet.find(call.params['id'] ?? '', call.owner)
}

/** What is done to a sandbox that ends meanwhile is done to none. */
export async function withNamed<T>(call: OwnedCall, act: (record: SandboxRecord) => Promise<T>): Promise<T> {
  const record = namedSandbox(call)
  try {
    return await act(record)
  } catch (failure) {
    if (failure instanceof Fault && failure.code === 'SANDBOX_GONE') throw noSandbox(record.id, failure)
    throw failure
  }
}

function noSandbox(id: string, cause?: unknown): Fault {
  return new Fault('NOT_FOUND', `no sandbox ${JSON.stringify(id)}`, { cause })
}
