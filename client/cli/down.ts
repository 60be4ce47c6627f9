import { readFile } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { Fault } from '@caisson/wire'
import { isAlive, localDaemon } from '../local-daemon.ts'
import { clientSettings } from '../settings.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Its sandboxes live on: the next \`caisson up\` takes them over. \`caisson kill\` ends them.

Example:
  caisson down`

const LOOK_MS = 50
/** Longer than the daemon's own grace period for work in progress. */
const END_MS = 60_000
const MS_PER_TICK = 10
/** The difference between the kernel's start time of the process and the one that it records. */
const SLACK_MS = 2000

/** Stops this machine's daemon, and waits until it has ended. */
export async function down(argv: readonly string[]): Promise<number> {
  const command = verbParser('down').usage('').description('Ends the daemon of this machine.').addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const { home } = clientSettings()
  const daemon = await localDaemon(home)
  if (daemon === undefined || (await startOf(daemon.pid)) > daemon.startedMs + SLACK_MS) {
    throw new Fault('DAEMON_UNREACHABLE', `no daemon runs on ${home}`, { hint: 'There is nothing to end.' })
  }
  const { pid } = daemon
  try {
    process.kill(pid, 'SIGTERM')
  } catch (cause) {
    throw new Fault('ACCESS_DENIED', `the daemon (process ${pid}) belongs to another user`, { hint: 'End it as that user.', cause })
  }
  for (const late = Date.now() + END_MS; isAlive(pid); await setTimeout(LOOK_MS)) {
    if (Date.now() < late) continue
    throw new Fault('DAEMON_RUNNING', `the daemon (process ${pid}) has not ended within ${END_MS / 1000} s`, {
      hint: `Wait for it, or end it with \`kill -9 ${pid}\`: its sandboxes live on all the same.`,
    })
  }
  return 0
}

/** Start time of a process. A process that started later than the daemon recorded has reused its pid. 0: unknown. */
async function startOf(pid: number): Promise<number> {
  const [stat, machine] = await Promise.all([`/proc/${pid}/stat`, '/proc/stat'].map((path) => readFile(path, 'utf8').catch(() => '')))
  // The name in parentheses may contain anything. Field 22 is the start time in clock ticks since boot.
  const ticks = Number(stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
  const bootS = Number(/^btime (\d+)$/m.exec(machine ?? '')?.[1])
  return Number.isFinite(ticks) && Number.isFinite(bootS) ? bootS * 1000 + ticks * MS_PER_TICK : 0
}
