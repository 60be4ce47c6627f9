import type { Plan } from '@caisson/wire'
import type { Exits } from '../airlock/exits.ts'
import { Undos } from '../lifetimes.ts'
import type { Cell } from '../walls/wall.ts'
import type { Decided } from './deciding.ts'

/** Registers a sandbox with the airlock before launching it, and unregisters it when it has ended. */
export async function admitted<Standing extends { readonly cell: Cell }>(
  exits: Pick<Exits, 'admit' | 'forget'>,
  plan: Plan,
  egress: Decided['egress'],
  launch: () => Promise<Standing>,
  signal: AbortSignal,
): Promise<Standing> {
  if (egress === null) return await launch()
  await using undo = new Undos()
  await exits.admit(plan.id, egress, plan.audit.maxBytes, signal)
  undo.add(() => exits.forget(plan.id))
  const standing = await launch()
  void standing.cell.death.then(() => exits.forget(plan.id))
  undo.move()
  return standing
}

/** Registers an adopted sandbox with the airlock again. If that fails, the sandbox lives on, but all its connections are refused. */
export async function readmitted(
  { exits, notice }: { exits: Pick<Exits, 'admit' | 'forget'>; notice: (line: string) => void },
  plan: Plan,
  find: () => Promise<Decided['egress']>,
  cell: Cell,
  signal: AbortSignal,
): Promise<void> {
  try {
    const egress = await find()
    if (egress === null) return
    await exits.admit(plan.id, egress, plan.audit.maxBytes, signal)
    void cell.death.then(() => exits.forget(plan.id))
  } catch (failure) {
    notice(`sandbox ${plan.id} has no way out any more: ${failure instanceof Error ? failure.message : String(failure)}`)
  }
}
