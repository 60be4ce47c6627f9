import { Fault } from '@caisson/wire'
import type { SandboxRecord } from '../../sandbox/record.ts'
import type { OwnedCall } from '../call.ts'

/** The sandbox in the path, running or paused. Throws NOT_FOUND, also for another owner's sandbox and for one that is gone. */
export function namedSandbox(call: OwnedCall): SandboxRecord {
  const record = rememberedSandbox(call)
  if (record.state === 'gone') throw noSandbox(record.id)
  return record
}

/** Like `namedSandbox`, but includes sandboxes that are gone but still remembered. */
export function rememberedSandbox(call: OwnedCall): SandboxRecord {
  return call.rooms.fleet.find(call.params['id'] ?? '', call.owner)
}

/** If the sandbox ends meanwhile, the operation fails as if it had never existed. */
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
