import { type CreateRequest, Fault, type Plan } from '@caisson/wire'
import type { Deciding } from './deciding.ts'
import type { Wish } from './fleet.ts'

/** The request with the name of its workspace, if it gets one, so that no pooled sandbox matches. Rejects with BAD_REQUEST or UNSUPPORTED. */
export async function withWorkspace(
  deciding: Pick<Deciding, 'workspace'>,
  request: CreateRequest,
  { lifecycle }: Pick<Wish, 'lifecycle'>,
  signal: AbortSignal,
): Promise<CreateRequest> {
  const workspace = await deciding.workspace(request, signal)
  if (workspace === undefined) return request
  if (lifecycle.onTimeout === 'pause') throw neverPaused('lifecycle.onTimeout')
  return { ...request, workspace: workspace.name }
}

/** A pause could keep the workspace's disk elsewhere indefinitely, so it is refused. Throws UNSUPPORTED. */
export function refusePause({ id, disk }: Pick<Plan, 'id' | 'disk'>): void {
  if (disk.kind === 'image' && disk.returns === true) throw neverPaused(`sandbox ${id}`)
}

function neverPaused(what: string): Fault {
  return new Fault('UNSUPPORTED', `${what}: a sandbox of a workspace is not paused`, {
    hint: 'End it: its files stay, and the next sandbox of the workspace has them.',
  })
}
