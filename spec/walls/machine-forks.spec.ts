import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RemoteDoor, Sandbox } from '../../client/index.ts'
import { OwnAddresses } from '../airlock/own-addresses.ts'
import { Canary, echo } from '../airlock/servers.ts'
import { ControlClient } from '../api/control-client.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { hasR } from '../runtimes/has-r.ts'
import { onWall } from './every-wall.ts'
import { CARD, CONTEXTS, inTurn, PROGRAMS, parts, RENEWED } from './renewed.ts'

const COUNT = 2
/** Behind an emulated processor Java takes a minute to its first answer, and R half of one: they are asked where that is wanted. */
const ALL = process.env['REQUIRE'] === 'languages'
const THERE = CONTEXTS.filter(({ language }) => language === 'javascript' || (ALL && (language !== 'r' || hasR)))
const ROWS = [...RENEWED, ...PROGRAMS, CARD, ...THERE.flatMap(({ rows }) => rows)].map(({ what }) => what)
/** State of an interpreter: a number, much memory, generators that have been drawn from, and a connection to a server outside. */
const begin = (address: string, port: number) => `
import ctypes, os, random, socket, ssl, numpy as np
random.random(); np.random.rand(); ssl.RAND_bytes(1)
known, pid, held = 41, os.getpid(), bytearray(b"x" * (4 << 20))
line = socket.create_connection((${JSON.stringify(address)}, ${port}))
line.settimeout(120)
line.sendall(b"a"); print(line.recv(1))`
/** Another copy of OpenSSL, which nobody knows of. */
const UNTOLD = `
import shutil
[path] = {line.split()[-1] for line in open("/proc/self/maps") if "/libcrypto.so.3" in line}
untold, drawn = ctypes.CDLL(shutil.copy(path, "/tmp/untold.so")), ctypes.create_string_buffer(16)
print(untold.RAND_bytes(drawn, 16))`
const KNOWN = 'print(known, os.getpid() == pid, set(held))'
const SPEAK = `
try:
    line.sendall(b"b"); print(line.recv(1) or "ended")
except OSError as error:
    print(type(error).__name__)`

onWall('microvm', () => {
  let own: OwnAddresses
  let server: Canary
  let daemon: SpecDaemon
  let source: Sandbox
  let forks: Sandbox[]
  let answers: { sandbox: { sandboxID: string; envdAccessToken: string } }[]
  const all: Sandbox[] = []
  const asks = () => new ControlClient(daemon.url, daemon.key)
  const door = () => new RemoteDoor({ url: daemon.url, key: daemon.key })
  const told = async (sandbox: Sandbox, code: string) => (await sandbox.runCode(code)).stdout
  const make = async (template: string, more: object = {}) => {
    const sandbox = await Sandbox.create({ template, timeoutMs: 1_800_000, ...more, door: door() })
    all.push(sandbox)
    return sandbox
  }
  /** What each says of what must be its own, by name: the source first. */
  const said = new Map<string, string[]>()

  beforeAll(async () => {
    own = await OwnAddresses.open(1)
    const [address = ''] = own.v4
    server = await Canary.open(echo, address)
    daemon = await SpecDaemon.open({ env: { CAISSON_ALLOW_PRIVATE: `${address}/32` } })
    source = await make('code-interpreter', { wall: 'microvm', network: `allow:${address}:${server.port}` })
    expect(await told(source, begin(address, server.port))).toBe("b'a'\n")
    expect(await told(source, UNTOLD)).toBe('1\n')
    const drawn = async (sandbox: Sandbox) => {
      const lines: string[] = []
      for (const { language, rows, print } of THERE) {
        const { stdout, error } = await sandbox.runCode(print(rows.map(({ code }) => code)), { language })
        expect(error, language).toBeUndefined()
        lines.push(...stdout.trim().split('\n'))
      }
      return lines
    }
    await drawn(source)
    answers = (await asks().ask('POST', `/sandboxes/${source.id}/fork`, { count: COUNT, timeout: 1800 })).body
    forks = await Promise.all(answers.map(({ sandbox }) => Sandbox.connect(sandbox.sandboxID, { door: door() })))
    all.push(...forks)
    for (const sandbox of [source, ...forks]) {
      const texts = [
        ...parts(await told(sandbox, inTurn(RENEWED, 'print("---")'))),
        ...parts((await sandbox.commands.run(inTurn([...PROGRAMS, CARD], 'echo ---'))).stdout),
        ...(await drawn(sandbox)),
      ]
      for (const [at, what] of ROWS.entries()) said.set(what, [...(said.get(what) ?? []), texts[at] ?? ''])
    }
  }, 900_000)
  afterAll(async () => {
    await Promise.all(all.map((sandbox) => sandbox.kill().catch(() => undefined)))
    await daemon?.[Symbol.asyncDispose]()
    server?.[Symbol.dispose]()
    await own?.[Symbol.asyncDispose]()
  })

  test('forks go on from the memory of the one that they come from, which goes on too; what one changes is its own', async () => {
    expect(forks).toHaveLength(COUNT)
    for (const sandbox of [source, ...forks]) expect(await told(sandbox, KNOWN)).toBe('41 True {120}\n')
    const [one, other] = forks as [Sandbox, Sandbox]
    await told(one, 'held[:] = b"y" * len(held); known = 1')
    await one.files.write('mine', '')
    expect(await Promise.all([source, other].map((sandbox) => told(sandbox, KNOWN)))).toEqual(['41 True {120}\n', '41 True {120}\n'])
    expect((await other.commands.run('ls')).stdout).toBe('')
    // No page of what it was forked from itself is left in what is forked from it.
    const [grandchild] = await one.fork({ timeoutMs: 1_800_000 })
    if (grandchild === undefined) throw new Error('no fork')
    all.push(grandchild)
    expect(await told(grandchild, KNOWN)).toBe('1 True {121}\n')
    expect((await grandchild.commands.run('ls')).stdout).toBe('mine\n')
    // One that is asleep is copied as it lies, and sleeps on.
    await grandchild.pause()
    const [last] = await grandchild.fork({ timeoutMs: 1_800_000 })
    if (last === undefined) throw new Error('no fork')
    all.push(last)
    expect(await told(last, KNOWN)).toBe('1 True {121}\n')
    expect((await grandchild.getInfo()).state).toBe('paused')
  }, 600_000)

  test.each(ROWS)('%s differs in each fork', (what) => {
    const texts = (said.get(what) ?? []).map((text) => text.trim())
    expect(texts).toHaveLength(1 + COUNT)
    expect(texts).not.toContain('')
    expect(new Set(texts).size).toBe(1 + COUNT)
  })

  test('an OpenSSL that is not told of it draws in each fork what its siblings draw', async () => {
    const texts: string[] = []
    for (const fork of forks) texts.push(await told(fork, 'untold.RAND_bytes(drawn, 16); print(drawn.raw.hex())'))
    expect(texts[0]).toMatch(/^[0-9a-f]{32}\n$/)
    expect(new Set(texts).size).toBe(1)
  })

  test('what each executes is recorded as its own, by interpreters that were running before, too', async () => {
    const ran = [source, ...forks]
    for (const sandbox of ran)
      await told(sandbox, `import subprocess; print(subprocess.run(["/bin/true", "own of ${sandbox.id}"]).returncode)`)
    const log = readFileSync(join(daemon.home, 'audit', 'audit.jsonl'), 'utf8').split('\n')
    const found = log.filter((line) => line.includes('"kind":"exec"') && line.includes('"own of ')).map((line) => JSON.parse(line))
    expect(found.map(({ sandbox, argv, told }) => [sandbox, argv[1], told])).toEqual(ran.map(({ id }) => [id, `own of ${id}`, 'inside']))
  })

  test('the clock is the host’s in each', async () => {
    for (const sandbox of [source, ...forks]) {
      const before = Date.now()
      const shown = Number((await sandbox.commands.run('date +%s%3N')).stdout)
      expect(shown).toBeGreaterThan(before - 1000)
      expect(shown).toBeLessThan(Date.now() + 1000)
    }
  })

  test('a token opens the sandbox that it was made for, and no fork of it', async () => {
    const tokens = answers.map(({ sandbox }) => sandbox.envdAccessToken)
    const { body } = await asks().ask('GET', `/sandboxes/${source.id}`)
    expect(new Set([...tokens, body.envdAccessToken]).size).toBe(1 + COUNT)
    const status = async (id: string, token: string) => {
      const headers = { 'e2b-sandbox-id': id, 'e2b-sandbox-port': '49983', 'x-access-token': token }
      const answer = await fetch(`${daemon.url}/files?path=/etc/hostname&username=user`, { headers })
      await answer.text()
      return answer.status
    }
    const [one, other] = answers.map(({ sandbox }) => sandbox) as [(typeof answers)[0]['sandbox'], (typeof answers)[0]['sandbox']]
    expect(await status(one.sandboxID, one.envdAccessToken)).toBe(200)
    expect(await status(one.sandboxID, other.envdAccessToken)).toBe(401)
    expect(await status(one.sandboxID, body.envdAccessToken)).toBe(401)
  })

  test('a connection to a server outside stays with the one that made it; a fork is told that it has none', async () => {
    const before = server.bytes
    for (const fork of forks) expect(await told(fork, SPEAK)).toBe('ConnectionResetError\n')
    expect([server.connections, server.bytes]).toEqual([1, before])
    expect(await told(source, SPEAK)).toBe("b'b'\n")
    expect([server.connections, server.bytes]).toEqual([1, before + 1])
  })

  test('nobody knows of a fork before its interpreters have been told of chance of their own: none is untold when the daemon is killed then', async () => {
    const known = async () => ((await asks().ask('GET', '/v2/sandboxes')).body as { sandboxID: string }[]).map(({ sandboxID }) => sandboxID)
    const before = await known()
    const asked = asks()
      .ask('POST', `/sandboxes/${source.id}/fork`, { count: 1, timeout: 1800 })
      .catch(() => undefined)
    let id: string | undefined
    for (const until = Date.now() + 300_000; id === undefined && Date.now() < until; )
      id = (await known()).find((one) => !before.includes(one))
    if (id === undefined) throw new Error('no fork')
    await daemon.stop('SIGKILL')
    await asked
    daemon = await daemon.again()
    const fork = await Sandbox.connect(id, { door: door() })
    source = await Sandbox.connect(source.id, { door: door() })
    const draw = 'print(random.random(), np.random.rand())'
    expect(await told(fork, draw)).not.toBe(await told(source, draw))
    expect(await told(fork, KNOWN)).toBe('41 True {120}\n')
    await fork.kill()
  }, 600_000)

  test('a snapshot has the memory of its moment, for those made of it after its sandbox and its daemon are gone; what is not what was written is refused', async () => {
    const taken = await source.snapshot({ name: 'moment' })
    await told(source, 'known = 0; held[:] = b"z" * len(held)')
    const folder = join(daemon.home, 'snapshots', `${taken.id.split(':')[0]}.memory`)
    const [memory, made] = [join(folder, 'memory'), join(folder, 'made.json')]
    const refused = (why: string, more: object = {}) =>
      expect(make('moment', more)).rejects.toMatchObject({ message: expect.stringContaining(why) })
    await refused('another size of memory', { memoryMiB: 320 })
    await refused('another network', { network: 'none' })
    const text = readFileSync(made, 'utf8')
    writeFileSync(made, JSON.stringify({ ...JSON.parse(text), architecture: 'other' }))
    await refused('another architecture')
    writeFileSync(made, text)
    turn(memory)
    await refused('its sum differs')
    turn(memory)
    await source.kill()
    await daemon.stop('SIGKILL')
    daemon = await daemon.again()
    const late = await make('moment')
    expect(await told(late, KNOWN)).toBe('41 True {120}\n')
    await asks().ask('DELETE', `/templates/${encodeURIComponent(taken.id)}`)
    expect(readdirSync(join(daemon.home, 'snapshots'))).toEqual([])
    expect(await told(late, 'known += 1; print(known)')).toBe('42\n')
  }, 600_000)
})

/** A bit in the middle; again, and it is as it was. */
function turn(path: string): void {
  const fd = openSync(path, 'r+')
  const at = statSync(path).size >> 1
  const byte = Buffer.alloc(1)
  readSync(fd, byte, 0, 1, at)
  writeSync(fd, Buffer.of(byte.readUInt8() ^ 1), 0, 1, at)
  closeSync(fd)
}
