import type { DoctorReport, Host } from '@caisson/host'
import { type Door, Fault } from '@caisson/wire'
import { clientSettings } from './settings.ts'
import { SharedDoor } from './shared-door.ts'

export type { DoctorReport }

/** A door and the way to let go of it. */
export interface HeldDoor<D extends Door = Door> {
  door: D
  release(): Promise<void>
}

/** The one host of this process: module state on purpose, since two would both sweep the same state folder. */
const shared = new SharedDoor<Host>(async () => {
  const { openHost } = await import('@caisson/host')
  return await openHost(new AbortController().signal, { notice: (line) => process.emitWarning(line, 'CaissonWarning') })
})

/** The host in this process. A daemon that was asked for and cannot be spoken to is an error, never replaced by an embedded host. */
export async function acquireDoor(signal: AbortSignal): Promise<HeldDoor<Host>> {
  const { url } = clientSettings()
  if (url !== undefined) {
    throw new Fault('UNSUPPORTED', `CAISSON_URL is set (${url}), and this version cannot speak to a daemon`, {
      hint: 'Unset CAISSON_URL to run sandboxes from this process.',
    })
  }
  const door = await shared.acquire(signal)
  return { door, release: () => shared.release() }
}
