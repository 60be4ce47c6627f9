import { realpath, stat } from 'node:fs/promises'
import type { Bind } from '@caisson/wire'

const PROGRAM = '/usr/bin/sudo'
/** Its plug-ins: it loads none that somebody else than root owns. */
const PLUGINS = ['/usr/libexec/sudo', '/usr/lib/sudo']

/**
 * What `sudo` needs to work inside: the program alone is set-uid there, and it and its plug-ins are owned by the sandbox's root. The rest of /usr stays
 * owned by nobody, or root inside could read what only the host's root may. Empty where the machine has no sudo.
 */
export async function sudoBinds(): Promise<Bind[]> {
  const program = await realpath(PROGRAM).catch(() => undefined)
  if (program === undefined || !program.startsWith('/usr/')) return []
  const binds: Bind[] = [{ source: program, target: program, mode: 'ro', ownedBy: 'root', setuid: true }]
  for (const path of PLUGINS) {
    if (await stat(path).catch(() => undefined)) binds.push({ source: path, target: path, mode: 'ro', ownedBy: 'root' })
  }
  return binds
}
