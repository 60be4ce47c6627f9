import { spawn } from 'node:child_process'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Fault } from '@caisson/wire'
import { type LocalDaemon, localDaemon } from '../../local-daemon.ts'
import { clientSettings } from '../../settings.ts'
import { faultLine } from '../ending.ts'
import { makeFolders } from '../folders.ts'

const LOOK_MS = 50
/** The daemon may have many sandboxes, and it queries each at startup. */
const START_MS = 120_000

export type Detached = { daemon: LocalDaemon; log: string } | { exitCode: number; said: string }

/** Starts `caisson up` with these arguments as a separate process. Waits until it answers, or until it ends and why. */
export async function startDetached(words: readonly string[]): Promise<Detached> {
  const { home } = clientSettings()
  await makeHome(home)
  const log = join(home, 'daemon.log')
  await using file = await opened(log)
  const before = (await file.stat()).size
  const [program = '', script = ''] = [process.execPath, process.argv[1]]
  const child = spawn(program, [...process.execArgv, script, 'up', ...words], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'ignore', file.fd],
  })
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', (cause) => reject(new Fault('INTERNAL', 'the daemon could not be started', { cause })))
    child.on('exit', (code) => resolve(code ?? 125))
  })
  ended.catch(() => undefined)
  for (const late = Date.now() + START_MS; Date.now() < late; ) {
    const exitCode = await Promise.race([ended, setTimeout(LOOK_MS, undefined)])
    if (exitCode !== undefined) return { exitCode, said: lastLine(await readFile(log, 'utf8'), before) ?? (await silence(file, log)) }
    const daemon = await announced(home)
    if (daemon !== undefined && daemon.pid === child.pid) {
      child.unref()
      return { daemon, log }
    }
  }
  child.kill()
  throw new Fault('DAEMON_UNREACHABLE', `the daemon has not answered within ${START_MS / 1000} s`, { hint: `See what it says in ${log}.` })
}

/** An earlier daemon may have left anything here; ours writes its own. */
async function announced(home: string): Promise<LocalDaemon | undefined> {
  try {
    return await localDaemon(home)
  } catch (error) {
    if (error instanceof Fault && error.code === 'HOME_UNUSABLE') return undefined
    throw error
  }
}

async function makeHome(home: string): Promise<void> {
  await makeFolders(home, 0o700).catch((cause: NodeJS.ErrnoException) => {
    throw new Fault('HOME_UNUSABLE', `${home} cannot be made (${cause.code})`, { cause })
  })
}

async function opened(log: string) {
  try {
    return await open(log, 'a', 0o600)
  } catch (cause) {
    throw new Fault('HOME_UNUSABLE', `${log} cannot be written`, { cause })
  }
}

/** The last words of a process that ended with an error; older lines of the log are not its own. Undefined: nothing, or an incomplete line. */
function lastLine(log: string, from: number): string | undefined {
  const said = Buffer.from(log).subarray(from).toString('utf8')
  if (!said.endsWith('\n')) return undefined
  const lines = said.trim().split('\n')
  return lines.findLast((line) => line.startsWith('caisson: ')) ?? lines.at(-1)
}

/** On a full disk there is no room for the reason either. */
async function silence(file: FileHandle, log: string): Promise<string> {
  const why = await file.write('caisson: the daemon ended, and did not say why\n').then(
    () => 'it did not say why',
    (cause: NodeJS.ErrnoException) => `${log} takes nothing of what it said (${cause.code})`,
  )
  return faultLine(
    new Fault('HOME_UNUSABLE', `the daemon ended, and ${why}`, {
      hint: 'Make room on the disk of the state folder; `caisson up` without --detach says why here.',
    }),
  )
}
