import type { Plan } from '@caisson/wire'

/** A sandbox like the one of this plan, that nobody asked for: what is made of it is for those after it. It ends with its host. */
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
    // What runs is ours, as in a zygote; whoever goes on from it has its commands recorded from then on.
    audit: { ...plan.audit, commands: false },
  }
}
