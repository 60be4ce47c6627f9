import type { Bind, Plan } from '@caisson/wire'
import { hashOf } from '../audit/chain.ts'
import type { Sha256 } from './given.ts'
import { type Profile, profileHash } from './profile.ts'

/** The parts of the plan that an auditor needs, without file contents. */
export function outline(plan: Plan) {
  const { files: _, symlinks: __, binds, ...rest } = plan
  const shielded = ({ shields = [], inode: ___, ...bind }: Bind) => ({
    ...bind,
    ...(shields.length === 0 ? {} : { shields: shields.filter(({ as }) => as !== 'pinned').map(({ path, as }) => `${as} ${path}`) }),
  })
  return { ...rest, binds: binds.map(shielded) }
}

export function sha256({ network }: Plan, profile: Profile): Sha256 {
  return { profile: profileHash(profile), policy: network.mode === 'gate' ? hashOf(JSON.stringify(network.policy)) : null }
}
