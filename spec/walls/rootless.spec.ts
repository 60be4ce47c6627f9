import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const USER = `caisson-spec-${process.pid}`
const CONTROLLERS = ['memory', 'pids', 'cpu']
const UNLIMITED = ['--memory', 'none', '--cpus', 'none', '--pids', 'none']
const isRoot = process.getuid?.() === 0
const hasRunsc = ['local/sbin', 'local/bin', 'sbin', 'bin'].some((folder) => existsSync(`/usr/${folder}/runsc`))

/** The installation and its templates, where somebody without rights can read them; and that somebody. */
let place: string
let uid: number

interface Ended {
  exitCode: number
  stdout: string
  stderr: string
}

beforeAll(async () => {
  if (!isRoot) return
  await run('useradd', ['--system', '--no-create-home', '--shell', '/usr/sbin/nologin', USER])
  uid = Number((await run('id', ['-u', USER])).stdout)
  place = await mkdtemp('/var/tmp/cai-')
  await chmod(place, 0o755)
  // What the daemon keeps its books with is no part of its bundle.
  const store = ['libsql', '@libsql', '@neon-rs', 'detect-libc'].map((name) => `node_modules/${name}`)
  for (const part of ['dist', 'native/bin', 'profiles', ...store]) await cp(join(ROOT, part), join(place, part), { recursive: true })
  const templates = process.env['CAISSON_TEMPLATES'] ?? join(process.env['CAISSON_HOME'] ?? join(homedir(), '.caisson'), 'templates')
  // Links, not copies: the environment is large, and nobody inside could change it.
  await run('cp', ['-al', templates, join(place, 'templates')])
  await chmod(join(place, 'templates'), 0o755)
  await mkdir(join(place, 'home'), { mode: 0o700 })
  await chown(join(place, 'home'), uid, uid)
})

afterAll(async () => {
  if (!isRoot) return
  await run('userdel', [USER])
  await rm(place, { recursive: true, force: true })
})

function asUser(...args: string[]): string[] {
  const id = ['--reuid', USER, '--regid', String(uid), '--clear-groups', '--reset-env']
  const settings = { HOME: join(place, 'home'), TEMPLATES: join(place, 'templates'), ZYGOTE_IDLE_MS: '0', POOL: '0' }
  const env = Object.entries(settings).map(([name, value]) => `CAISSON_${name}=${value}`)
  return [...id, 'env', ...env, process.execPath, join(place, 'dist', 'caisson.cjs'), ...args]
}

async function caisson(...args: string[]): Promise<Ended> {
  try {
    const { stdout, stderr } = await run('setpriv', asUser(...args), { cwd: place })
    return { exitCode: 0, stdout, stderr }
  } catch (failure) {
    const { code, stdout, stderr } = failure as { code: number; stdout: string; stderr: string }
    return { exitCode: code, stdout, stderr }
  }
}

const groups = () => CONTROLLERS.map((controller) => `/sys/fs/cgroup/${controller}/caisson-${uid}`)

/** What the hint of the refusal says, for cgroup version 1. */
async function delegate(): Promise<void> {
  for (const group of groups()) {
    await mkdir(group)
    for (const path of ['', ...(await readdir(group))]) await chown(join(group, path), uid, uid)
  }
}

async function undelegate(): Promise<void> {
  for (const group of groups()) await run('rmdir', ['--ignore-fail-on-non-empty', group]).catch(() => undefined)
}

describe.runIf(isRoot)('without root (these specs make an ordinary user, and so need root themselves)', () => {
  test('limits that cannot be had are refused by name, with the command that mends it', async () => {
    const refused = await caisson('run', '-c', 'print(1)')
    expect(refused.exitCode).toBe(125)
    expect(refused.stdout).toBe('')
    expect(refused.stderr).toMatch(/^caisson: LIMIT_UNAVAILABLE: .*memory.*: --memory none --pids none --cpus none\.$/m)
    expect((await caisson('run', '--memory', 'none', '-c', 'print(1)')).stderr).toMatch(/LIMIT_UNAVAILABLE: .*pids/)
    expect(await readdir(join(place, 'home', 'sandboxes'))).toEqual([])
  })

  test('what needs root is said to need it, and no command is named that would not mend it', async () => {
    const { stdout } = await caisson('doctor', '--wall', 'microvm')
    expect(stdout).toMatch(/✗ engine +WALL_UNAVAILABLE: microvm: it needs root on the host\. Run Caisson as root\.\n(?! +fix:)/)
    const kept = await caisson('run', ...UNLIMITED, '--profile', 'workspace', '-c', '1')
    expect(kept.stderr).toMatch(/UNSUPPORTED: files are kept only where .*\. Run Caisson as root\.$/m)
  })

  test('code runs, on one id, with nothing of the host in sight', async () => {
    const code = [
      'import os, sys',
      'print(os.getuid(), os.geteuid(), open("/proc/self/uid_map").read().split()[::2])',
      'print(sorted(os.listdir("/home")), os.path.exists("/root/.bashrc"), os.listdir("/var"))',
      'open("/home/user/kept", "w").write("x"); print(open("/home/user/kept").read())',
      'print("pandas" in sys.modules)',
      'for path in ("/usr/x", "/etc/x", "/x"):',
      '    try: open(path, "w")',
      '    except OSError as error: print(error.errno)',
    ].join('\n')
    const ended = await caisson('run', ...UNLIMITED, '-c', code)
    expect(ended.stderr).toBe('')
    expect(ended.stdout.split('\n')).toEqual(["1000 1000 ['1000', '1']", "['user'] False ['tmp']", 'x', 'True', '30', '30', '30', ''])
  })

  test('time and disk are limited all the same', async () => {
    const late = await caisson('run', ...UNLIMITED, '--timeout', '1s', '-c', 'while True: pass')
    expect(late.exitCode).toBe(124)
    const full = await caisson('run', ...UNLIMITED, '--disk', '16', '-c', 'open("/tmp/x", "wb").write(bytes(64 << 20))')
    expect(full.exitCode).toBe(137)
    expect(full.stderr).toMatch(/limit of disk|disk limit/)
  })

  test('a daemon whose sandboxes nothing can freeze refuses a pause by its reason, which no client tries again; the sandbox runs on', async () => {
    const running = run('setpriv', asUser('up', '--port', '0'), { cwd: place })
    const daemon = running.child
    // Whoever waits for its end, below, is told how it failed.
    running.catch(() => undefined)
    try {
      const about = join(place, 'home', 'daemon.json')
      while (!existsSync(about) && daemon.exitCode === null) await pause(20)
      if (daemon.exitCode !== null) await running
      const { url } = JSON.parse(await readFile(about, 'utf8')) as { url: string }
      const key = (await readFile(join(place, 'home', 'key'), 'utf8')).trim()
      const ask = (method: string, path: string, body: object = {}) =>
        fetch(`${url}${path}`, { method, headers: { 'x-api-key': key }, body: JSON.stringify(body) })
      const unlimited = { memoryMiB: null, pids: null, cpus: null }
      const wish = { profile: 'e2b', template: 'base', network: 'none', timeoutMs: 60_000, ...unlimited }
      const made = await ask('POST', '/caisson/v1/sandboxes', wish)
      const { sandboxID } = (await made.json()) as { sandboxID: string }
      const paused = await ask('POST', `/sandboxes/${sandboxID}/pause`)
      expect([paused.status, paused.headers.get('should-retry')]).toEqual([503, 'false'])
      expect(await paused.json()).toMatchObject({
        error_code: 'limit_unavailable',
        message: expect.stringMatching(/freezer: /),
        hint: expect.stringMatching(/^Run as root, or delegate/),
      })
      expect(await (await fetch(`${url}/sandboxes/${sandboxID}`, { headers: { 'x-api-key': key } })).json()).toMatchObject({
        state: 'running',
      })
      expect((await ask('DELETE', `/sandboxes/${sandboxID}`)).status).toBe(204)
    } finally {
      daemon.kill('SIGTERM')
      await running
    }
  })

  test('there is no root inside, and asking for it is refused', async () => {
    const ended = await caisson('run', ...UNLIMITED, '--', 'sh', '-c', 'id -u; cat /proc/self/status | grep CapEff; unshare -U true')
    expect(ended.stdout).toMatch(/^1000\nCapEff:\s+0{16}\n$/)
    expect(ended.exitCode).not.toBe(0)
  })

  // Where everything is to be proven, a missing engine is no excuse.
  test.runIf(hasRunsc || process.env['CI'] === 'true')(
    'gVisor does with one id: its own kernel, no rights, its own disk, and the gate',
    async () => {
      const behind = (...args: string[]) => caisson('run', ...UNLIMITED, '--wall', 'gvisor', '--template', 'base', ...args)
      const commands = 'id -u; grep CapEff /proc/self/status; dmesg | grep -c gVisor; echo x > /home/user/x && cat /home/user/x; touch /x'
      const ended = await behind('--net', 'open', '--', 'sh', '-c', `${commands}; curl -sS http://10.1.2.3/`)
      expect(ended.stdout).toMatch(/^0\nCapEff:\s+0{16}\n1\nx\n\{"code":"NETWORK_DENIED"/)
      expect(ended.stderr).toContain('Read-only file system')
      expect((await caisson('audit', 'list', '--kind', 'exec', '--command', 'dmesg', '--json')).stdout).toContain('"argv":["dmesg"]')
      const full = await behind('--disk', '16', '--', 'sh', '-c', 'cat /dev/zero > /tmp/x')
      expect([full.exitCode, full.stderr]).toEqual([137, expect.stringMatching(/disk limit/)])
      expect(await readdir(join(place, 'home', 'sandboxes'))).toEqual([])
    },
  )

  test('with cgroups delegated, every limit holds', async () => {
    await delegate()
    try {
      expect(await caisson('run', '-c', 'print(6 * 7)')).toEqual({ exitCode: 0, stdout: '42\n', stderr: '' })
      const memory = await caisson('run', '--memory', '128', '-c', 'x = bytearray(1 << 30)')
      expect([memory.exitCode, memory.stderr]).toEqual([137, expect.stringMatching(/memory/)])
      const pids = await caisson('run', '--pids', '32', '-c', 'import os, time\nwhile True:\n  if os.fork() == 0: time.sleep(100)')
      expect([pids.exitCode, pids.stderr]).toEqual([137, expect.stringMatching(/process limit/)])
      for (const group of groups()) expect((await readdir(group, { withFileTypes: true })).filter((one) => one.isDirectory())).toEqual([])
    } finally {
      await undelegate()
    }
  })
})
