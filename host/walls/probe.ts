import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { access, mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { cgroupMoves } from './cgroup-moves.ts'
import { type Hierarchy, hierarchies } from './cgroups.ts'
import { sharedTables } from './shared-tables.ts'
import { type SwapBound, swapIn } from './swap.ts'
import type { Finding } from './wall.ts'
import { witnesses } from './witness.ts'

const TOOL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const PROBE_PIDS = 64

/** What this machine has and lacks for the container wall. Each answer is from a trial, not guessed from version numbers. */
export async function probeContainer(options: { keeper: string; uid: number }, signal: AbortSignal): Promise<Finding[]> {
  const root = options.uid === 0
  const findings = [await keeperProgram(options.keeper), identity(root), await namespaces(root, signal)]
  for (const controller of ['memory', 'pids', 'cpu']) findings.push(await cgroup(controller, options.uid))
  if (hierarchies(options.uid).find(({ controllers }) => controllers.includes('memory'))?.version === 2)
    findings.push(...cgroupMoves(await readFile('/proc/self/mountinfo', 'utf8')))
  findings.push(await freezer(options.uid), await seccomp(), await landlock(signal))
  findings.push(await gate(options.keeper, signal))
  findings.push(...(await sharedTables()), ...(await witnesses(options.keeper, signal)))
  if (root) findings.push(await loop(), await mkfs(signal), await sudo())
  return findings
}

async function keeperProgram(path: string): Promise<Finding> {
  const what = 'keeper'
  try {
    await access(path, constants.X_OK)
    return { what, severity: 'fine', detail: path }
  } catch (error) {
    return { what, severity: 'missing', detail: message(error), mend: './caisson setup' }
  }
}

function identity(root: boolean): Finding {
  if (root) return { what: 'root', severity: 'fine', detail: 'each sandbox gets host ids and a disk of its own' }
  const detail = 'without root all ids inside are one, the disk is memory, and limits need cgroups that this user may use'
  return { what: 'root', severity: 'degraded', detail, mend: 'sudo ./caisson doctor' }
}

async function namespaces(root: boolean, signal: AbortSignal): Promise<Finding> {
  const what = 'namespaces'
  const flags = ['--user', '--map-root-user', '--mount', '--pid', '--net', '--ipc', '--uts', '--cgroup', '--fork', 'true']
  const tried = await run('unshare', flags, signal)
  if (tried.ok) return { what, severity: 'fine', detail: 'user, mount, pid, net, ipc, uts and cgroup' }
  const switches: [string, (value: string) => boolean, string][] = [
    ['/proc/sys/user/max_user_namespaces', (value) => value === '0', 'sudo sysctl -w user.max_user_namespaces=65536'],
    ['/proc/sys/kernel/unprivileged_userns_clone', (value) => value === '0', 'sudo sysctl -w kernel.unprivileged_userns_clone=1'],
    [
      '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
      (value) => value === '1' && !root,
      'sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
    ],
  ]
  for (const [path, isOff, mend] of switches) {
    const value = await read(path)
    if (value !== undefined && isOff(value.trim())) return { what, severity: 'missing', detail: `${path} is ${value.trim()}`, mend }
  }
  return { what, severity: 'missing', detail: tried.said, mend: 'apt-get install -y util-linux' }
}

async function cgroup(controller: string, uid: number): Promise<Finding> {
  const what = `cgroup ${controller}`
  const found = hierarchies(uid).find((hierarchy) => hierarchy.controllers.includes(controller))
  const flag = controller === 'cpu' ? 'cpus' : controller
  if (found === undefined) {
    const detail = `the kernel offers no such controller here; only --${flag} none works`
    return { what, severity: 'missing', detail, mend: `mount -t cgroup -o ${controller} none /sys/fs/cgroup/${controller}` }
  }
  try {
    const swap = await tryGroup(found, controller)
    const detail = [`version ${found.version}, ${found.parent}`, ...(swap === undefined ? [] : [swap.detail])].join('; ')
    return swap?.mend === undefined ? { what, severity: 'fine', detail } : { what, severity: 'missing', detail, mend: swap.mend }
  } catch (error) {
    return { what, severity: 'missing', detail: `${message(error)}; only --${flag} none works`, ...mendCgroup(found, uid) }
  }
}

/** Creates a group, sets a limit and removes it, as a keeper will. For memory, resolves to how swap is bounded. */
async function tryGroup({ parent, version }: Hierarchy, controller: string): Promise<SwapBound | undefined> {
  const group = join(parent, `probe${randomBytes(6).toString('hex')}`)
  await mkdir(parent, { recursive: true })
  // Version 2 delegates a controller level by level. If that fails, the write below shows it.
  const handDown = (dir: string) => writeFile(join(dir, 'cgroup.subtree_control'), `+${controller}`).catch(() => undefined)
  if (version === 2) await handDown(dirname(parent)).then(() => handDown(parent))
  await mkdir(group)
  try {
    if (controller === 'pids') await writeFile(join(group, 'pids.max'), String(PROBE_PIDS))
    else if (controller === 'memory') await access(join(group, version === 1 ? 'memory.limit_in_bytes' : 'memory.max'), constants.W_OK)
    else if (controller === 'freezer') await access(join(group, version === 1 ? 'freezer.state' : 'cgroup.freeze'), constants.W_OK)
    else await access(join(group, version === 1 ? 'cpu.cfs_quota_us' : 'cpu.max'), constants.W_OK)
    return controller === 'memory' ? await swapIn(group, version) : undefined
  } finally {
    await rmdir(group)
    // Running sandboxes share this group; then it stays.
    await rmdir(parent).catch((error: NodeJS.ErrnoException) => {
      if (!['ENOTEMPTY', 'EBUSY', 'ENOENT', 'EACCES', 'EPERM'].includes(error.code ?? '')) throw error
    })
  }
}

/** Version 1's freezer controller, or any version 2 hierarchy. Without it, a sandbox cannot be paused with its processes; all else works. */
async function freezer(uid: number): Promise<Finding> {
  const what = 'cgroup freezer'
  const found = hierarchies(uid).find((hierarchy) => hierarchy.controllers.includes('freezer'))
  const detail = 'sandboxes cannot be frozen: pauses, snapshots and forks of a running one are refused'
  if (found === undefined) return { what, severity: 'degraded', detail, mend: 'mount -t cgroup -o freezer none /sys/fs/cgroup/freezer' }
  try {
    await tryGroup(found, 'freezer')
    return { what, severity: 'fine', detail: `version ${found.version}, ${found.parent}` }
  } catch (error) {
    return { what, severity: 'degraded', detail: `${message(error)}: ${detail}`, ...mendCgroup(found, uid) }
  }
}

function mendCgroup({ version, parent }: Hierarchy, uid: number): { mend: string } {
  if (version === 2) return { mend: 'systemd-run --user --scope -p Delegate=yes ./caisson doctor' }
  return { mend: `sudo sh -c 'mkdir -p ${parent} && chown -R ${uid} ${parent}'` }
}

async function seccomp(): Promise<Finding> {
  const what = 'seccomp'
  const actions = (await read('/proc/sys/kernel/seccomp/actions_avail'))?.trim().split(' ') ?? []
  const lacking = ['kill_process', 'errno', 'allow', 'user_notif'].filter((action) => !actions.includes(action))
  if (lacking.length === 0) return { what, severity: 'fine', detail: 'filters and user notification' }
  return { what, severity: 'missing', detail: `the kernel (5.0 or later is needed) has no ${lacking.join(', ')}`, mend: 'uname -r' }
}

/** landlock_create_ruleset(2) with the version flag; no file tells the version. */
const LANDLOCK_VERSION = 'import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))'

async function landlock(signal: AbortSignal): Promise<Finding> {
  const what = 'landlock'
  const tried = await run('python3', ['-c', LANDLOCK_VERSION], signal)
  const version = Number(tried.said)
  if (tried.ok && version > 0) return { what, severity: 'fine', detail: `ABI ${version}` }
  const detail = tried.ok ? 'the kernel does not have it; the other walls stand without it' : `could not be asked: ${tried.said}`
  return { what, severity: 'degraded', detail, mend: tried.ok ? 'cat /sys/kernel/security/lsm' : 'apt-get install -y python3' }
}

/** Tries the gate: the keeper sets one up in namespaces of its own and sends something out. Without it, sandboxes work but have no network. */
async function gate(keeper: string, signal: AbortSignal): Promise<Finding> {
  const what = 'gate'
  const tried = await run(keeper, ['try-gate'], signal)
  if (tried.ok)
    return { what, severity: 'fine', detail: 'nf_tables, tproxy and nfnetlink_log: connections are caught, the rest is refused and noted' }
  const detail = `only --net none works: ${faultOf(tried.said)}`
  return { what, severity: 'degraded', detail, mend: 'sudo modprobe -a nf_tables nft_tproxy nft_log nft_limit nfnetlink_log' }
}

/** The error message in a keeper's last output. */
function faultOf(said: string): string {
  try {
    const { message } = JSON.parse(said) as { message?: unknown }
    return typeof message === 'string' ? message : said
  } catch {
    return said
  }
}

async function loop(): Promise<Finding> {
  const what = 'loop devices'
  try {
    await access('/dev/loop-control', constants.R_OK | constants.W_OK)
    return { what, severity: 'fine', detail: '/dev/loop-control' }
  } catch (error) {
    return { what, severity: 'missing', detail: message(error), mend: 'modprobe loop' }
  }
}

async function mkfs(signal: AbortSignal): Promise<Finding> {
  const what = 'mkfs.ext4'
  const tried = await run('mkfs.ext4', ['-V'], signal)
  if (tried.ok) return { what, severity: 'fine', detail: 'formats the disks of sandboxes' }
  return { what, severity: 'missing', detail: tried.said, mend: 'apt-get install -y e2fsprogs' }
}

async function sudo(): Promise<Finding> {
  const what = 'sudo'
  try {
    await access('/usr/bin/sudo', constants.X_OK)
    return { what, severity: 'fine', detail: 'works inside where the profile lets it' }
  } catch (error) {
    return { what, severity: 'degraded', detail: `${message(error)}: no sandbox has it`, mend: 'apt-get install -y sudo' }
  }
}

function run(program: string, args: string[], signal: AbortSignal): Promise<{ ok: boolean; said: string }> {
  return new Promise((resolve) => {
    let said = ''
    const child = spawn(program, args, { env: { PATH: TOOL_PATH }, stdio: ['ignore', 'pipe', 'pipe'], signal })
    const hear = (text: Buffer) => {
      said = (said + text.toString('utf8')).slice(0, 1000)
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('error', (error) => resolve({ ok: false, said: error.message }))
    child.on('close', (code) => resolve({ ok: code === 0, said: said.trim() }))
  })
}

function read(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined)
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
