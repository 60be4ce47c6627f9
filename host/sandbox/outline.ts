import type { Bind, Plan } from '@caisson/wire'

/** Of the plan, what an auditor asks for: not the files' contents. */
export function outline(plan: Plan) {
  const { files: _, symlinks: __, binds, ...rest } = plan
  const shielded = ({ shields = [], inode: ___, ...bind }: Bind) => ({
    ...bind,
    ...(shields.length === 0 ? {} : { shields: shields.filter(({ as }) => as !== 'pinned').map(({ path, as }) => `${as} ${path}`) }),
  })
  return { ...rest, binds: binds.map(shielded) }
}
