import type { Plan } from '@caisson/wire'

/** The plan for a sandbox like this one that belongs to nobody; later sandboxes are restored or forked from it. It ends with its host. */
export function forNobody(plan: Plan, id: string, home: string): Plan {
  return {
    ...plan,
    id,
    dir: `${home}/sandboxes/${id}`,
    deathRecord: `${home}/deaths/${id}.json`,
    leash: 'host',
    hostName: id,
    files: plan.files.map((file) => ({ ...file, content: file.content.replaceAll(plan.id, id) })),
    limits: { ...plan.limits, onWall: 'end', cpuMilli: null },
    // It runs only our own code, as a zygote does. Commands are recorded from the moment a sandbox continues from it.
    audit: { ...plan.audit, commands: false },
  }
}
