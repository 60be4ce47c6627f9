import { type Bind, Fault } from '@caisson/wire'
import { plainTarget, within } from './mount-place.ts'
import type { MachineFacts } from './plan.ts'
import type { StrictCreateRequest } from './request.ts'

/** Pure. The host folders that the request mounts. Throws BAD_REQUEST. */
export function mounts(request: StrictCreateRequest, facts: Pick<MachineFacts, 'home' | 'root' | 'shown'>): Bind[] {
  const binds = (request.mounts ?? []).map(({ source, target, mode }, index): Bind => {
    const field = `mounts.${index}`
    const place = plainTarget(target, `${field}.target`)
    if (within(source, facts.home) || within(facts.home, source)) {
      throw new Fault('BAD_REQUEST', `${field}.source: ${source} would show Caisson's own state (${facts.home}) inside`)
    }
    const look = facts.shown?.looks[index]
    return {
      source,
      target: place,
      mode,
      live: true,
      ...(facts.root ? { ownedBy: 'user' as const } : {}),
      ...(look === undefined ? {} : { inode: look.inode, shields: [...look.shields] }),
    }
  })
  const targets = binds.map((bind) => bind.target)
  const twice = targets.find((target, index) => targets.indexOf(target) !== index)
  if (twice !== undefined) throw new Fault('BAD_REQUEST', `mounts: ${twice} is named twice`)
  return binds
}
