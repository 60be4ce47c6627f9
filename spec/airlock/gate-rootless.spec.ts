import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { planSandbox } from '../../host/sandbox/plan.ts'
import { readProfile } from '../../host/sandbox/profile.ts'
import { parseRequest } from '../../host/sandbox/request.ts'
import { readSettings } from '../../host/settings.ts'
import { openTemplate } from '../../host/templates/template.ts'
import { Inside } from '../walls/cells.ts'
import { FakeAirlock } from './fake-airlock.ts'
import { Canary, echo } from './servers.ts'

const run = promisify(execFile)
const signal = new AbortController().signal
const USER = `caisson-gate-${process.pid}`
const isRoot = process.getuid?.() === 0

let place: string
let uid: number

beforeAll(async () => {
  if (!isRoot) return
  await run('useradd', ['--system', '--no-create-home', '--shell', '/usr/sbin/nologin', USER])
  uid = Number((await run('id', ['-u', USER])).stdout)
  place = await mkdtemp('/var/tmp/cai-')
  await chmod(place, 0o755)
  const settings = readSettings({})
  await cp(settings.keeper, join(place, 'keeper'))
  await cp(settings.agent, join(place, 'agent'))
  // Links, not copies: nobody inside could change it.
  await run('cp', ['-al', settings.templates, join(place, 'templates')])
  await chmod(join(place, 'templates'), 0o755)
})

afterAll(async () => {
  if (!isRoot) return
  await run('userdel', [USER])
  await rm(place, { recursive: true, force: true })
})

/** A plan as an ordinary user has it, whose files that user may read. */
async function plan(airlock: FakeAirlock, id: string) {
  const settings = readSettings({})
  const profile = await readProfile(settings.profiles, 'default', signal)
  const template = await openTemplate('base', { ...settings, templates: join(place, 'templates') }, signal)
  const unlimited = { memoryMiB: null, cpus: null, pids: null }
  const home = join(place, 'home')
  for (const folder of ['', 'sandboxes', `sandboxes/${id}`, 'deaths', 'audit']) {
    await mkdir(join(home, folder), { mode: 0o700, recursive: true })
    await chown(join(home, folder), uid, uid)
  }
  return planSandbox(parseRequest({ diskMiB: 64, leash: 'host', ...unlimited }), profile, template, {
    root: false,
    home,
    agent: join(place, 'agent'),
    auditLog: join(home, 'audit', 'audit.jsonl'),
    id,
    machineId: '0'.repeat(32),
    zygoteSocket: null,
    kept: null,
    onWall: 'end',
    airlock: { ...airlock.paths, policy: { mode: 'open' } },
    wall: { name: 'container', engine: null, sudo: true, mounts: true },
    trust: null,
  })
}

describe.runIf(isRoot)('without root (this spec makes an ordinary user, and so needs root itself)', () => {
  test('the gate holds every way out', async () => {
    await using airlock = await FakeAirlock.open(place)
    for (const path of Object.values(airlock.paths)) await chmod(path, 0o777)
    using server = await Canary.open(echo)
    airlock.rules.name = ({ name }) => name === 'good.example'
    airlock.rules.connect = ({ name }) => (name === 'good.example' ? { verdict: 'tunnel', dial: ['127.0.0.1'] } : { verdict: 'deny' })
    const made = await plan(airlock, 'rootless1')
    const [program = '', ...options] = ['setpriv', '--reuid', USER, '--regid', String(uid), '--clear-groups', '--reset-env']
    const keeper = spawn(program, [...options, join(place, 'keeper'), 'run'], { stdio: ['pipe', 'pipe', 'inherit'], cwd: place })
    const lines = createInterface({ input: keeper.stdout })[Symbol.asyncIterator]()
    keeper.stdin.write(`${JSON.stringify(made)}\n`)
    for (const event of ['listening', 'ready']) expect(JSON.parse((await lines.next()).value)).toMatchObject({ event })
    {
      using inside = new Inside({ agentSocket: join(made.dir, 'agent.sock') })
      const talk = (host: string, port: number | string) =>
        inside.run(
          `python3 -c "import socket; s = socket.create_connection(('${host}', ${port}), timeout=20); s.sendall(b'hello'); print(s.recv(9))" 2>&1 | tail -1`,
        )
      expect((await talk('good.example', server.port)).stdout).toBe("b'hello'\n")
      expect((await talk('203.0.113.9', server.port)).stdout).toMatch(/reset/)
      expect((await talk('2001:db8::9', server.port)).stdout).toMatch(/reset/)
      expect((await talk('127.0.0.1', server.port)).stdout).toMatch(/refused/)
      expect((await talk('bad.example', server.port)).stdout).toMatch(/not known/)
      const datagram = `python3 -c "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 443))" 2>&1 | tail -1`
      expect((await inside.run(datagram)).stdout).toMatch(/not permitted/)
      const proxied = await inside.run(`curl -sS -o /dev/null -w '%{http_connect}' -p -x http://127.0.0.1:3128 http://bad.example/ 2>&1`)
      expect(proxied.stdout).toMatch(/403/)
    }
    expect([server.connections, server.bytes]).toEqual([1, 5])
    keeper.stdin.end()
    await once(keeper, 'exit')
  })
})
