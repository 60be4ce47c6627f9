import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SpecDaemon } from '../api/daemon.ts'
import { type Created, Guest } from '../daemon/guest.ts'
import { onWall } from './every-wall.ts'

// What restored.spec.ts has no row for: forks, whose origin lives on beside them.

/** Holds a port, a connection to itself, and the pages of a file. The last thing that it says is in those pages alone. */
const HOLDS = `
import mmap, os, socket, time
server = socket.create_server(("127.0.0.1", 8000))
mine = socket.create_connection(server.getsockname()); other = server.accept()[0]
with open("mapped", "w+b") as file:
    file.truncate(4096)
    pages = mmap.mmap(file.fileno(), 4096)
written = open("written", "w")
written.write("before"); written.flush(); pages[:6] = b"before"
open("/tmp/up", "w")
while not os.path.exists("/tmp/go on"): time.sleep(0.02)
written.seek(0); written.write("after!"); written.flush(); pages[:6] = b"after!"
open("/tmp/went on", "w")
time.sleep(3600)
`
const SAID = 'cat written; head -c 6 mapped'
/** Of TCP; each file begins with a line of names. */
const CONNECTIONS = 'cat /proc/net/tcp /proc/net/tcp6 | grep -c : || true'
const KNOCK = '(: < /dev/tcp/127.0.0.1/8000) 2>&1 && echo open'

onWall('gvisor', () => {
  let daemon: SpecDaemon
  let origin: Guest
  let forks: Guest[]
  beforeAll(async () => {
    daemon = await SpecDaemon.open()
    origin = await Guest.create(daemon, { timeout: 1800, metadata: { 'caisson.wall': 'gvisor' } })
    await origin.run(`cat > /tmp/holds.py <<'END'\n${HOLDS}\nEND
      cd; python3 -SE /tmp/holds.py > /tmp/said 2>&1 & until [ -e /tmp/up ]; do sleep 0.1; done`)
    const made = (await (await origin.ask('POST', '/fork', { count: 2, timeout: 1800 })).json()) as { sandbox: Created }[]
    forks = made.map(({ sandbox }) => new Guest(daemon, sandbox))
  })
  afterAll(() => daemon[Symbol.asyncDispose]())

  test('tokens: each fork has its own, and that of its origin opens none', async () => {
    expect(new Set([origin, ...forks].map(({ token }) => token)).size).toBe(3)
    const read = async ({ id }: Guest, envdAccessToken: string) =>
      (await new Guest(daemon, { sandboxID: id, envdAccessToken }).visit(49983, '/files?path=/home/user/written')).status
    for (const fork of forks) {
      expect(await read(fork, origin.token)).toBe(401)
      expect(await read(origin, fork.token)).toBe(401)
      expect(await read(fork, fork.token)).toBe(200)
    }
  })

  test('TCP: no connection and no port of its origin is in a fork, and the origin keeps them', async () => {
    expect(await origin.run(KNOCK)).toBe('open\n')
    expect(Number(await origin.run(CONNECTIONS))).toBeGreaterThanOrEqual(3)
    for (const fork of forks) {
      expect(await fork.run(CONNECTIONS)).toBe('0\n')
      expect(await fork.run(KNOCK)).not.toContain('open')
    }
  })

  test('pages: what was written last, by a call and by a mapping, is in a fork; what its origin writes later is not, nor the other way round', async () => {
    await origin.run('touch "/tmp/go on"; until [ -e "/tmp/went on" ]; do sleep 0.1; done')
    expect(await origin.run(SAID)).toBe('after!after!')
    for (const fork of forks) expect(await fork.run(`${SAID}; echo mine > written; echo mine > mapped`)).toBe('beforebefore')
    expect(await origin.run(SAID)).toBe('after!after!')
    const [late] = (await (await origin.ask('POST', '/fork', { count: 1, timeout: 1800 })).json()) as [{ sandbox: Created }]
    expect(await new Guest(daemon, late.sandbox).run(SAID)).toBe('after!after!')
  })

  test('what runs in a fork, and in one that was paused, is recorded as ever', async () => {
    expect((await origin.ask('POST', '/pause', {})).status).toBe(204)
    expect((await origin.ask('POST', '/connect', { timeout: 1800 })).status).toBeLessThan(300)
    for (const one of [origin, ...forks]) {
      await one.run(`/bin/echo recorded of ${one.id}`)
      const log = await readFile(join(daemon.home, 'audit', 'audit.jsonl'), 'utf8')
      const execs = log.split('\n').filter((line) => line.includes('"kind":"exec"') && line.includes(`"recorded","of","${one.id}"`))
      expect(execs).toHaveLength(1)
      expect(JSON.parse(execs[0] ?? '')).toMatchObject({ sandbox: one.id, path: '/usr/bin/echo' })
    }
  })
})
