import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RemoteDoor, Sandbox } from '../../client/index.ts'
import { ControlClient } from '../api/control-client.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { onWall } from './every-wall.ts'
import { SmallDisk } from './small-disk.ts'

/**
 * In the background, for as long as it is let: numbers that grow, in a file that is open and has no name any more, and a server that says the last one. All
 * of it dies with its process.
 */
const COUNTS = `
import os, socket, threading
nameless = open("/tmp/nameless", "w+"); os.remove("/tmp/nameless")
server = socket.create_server(("127.0.0.1", 8000))
open("/tmp/pid", "w").write(str(os.getpid()))
def count():
    n = 0
    while True:
        n += 1
        nameless.seek(0); nameless.write(str(n)); nameless.flush()
        threading.Event().wait(0.05)
threading.Thread(target=count, daemon=True).start()
while True:
    asked = server.accept()[0]
    nameless.seek(0); asked.send(f"{os.getpid()} {nameless.read()}\\n".encode()); asked.close()
`
const ASK = 'exec 3<>/dev/tcp/127.0.0.1/8000 && cat <&3'

onWall('microvm', () => {
  /** In memory, and no larger than what is to be kept there. */
  let disk: SmallDisk
  let home: string
  let daemon: SpecDaemon
  let sandbox: Sandbox
  const asks = () => new ControlClient(daemon.url, daemon.key)
  const door = () => new RemoteDoor({ url: daemon.url, key: daemon.key })
  beforeAll(async () => {
    disk = new SmallDisk(mkdtempSync(join(tmpdir(), 'cai-')), 700 << 10)
    home = join(disk.path, 'h')
    daemon = await SpecDaemon.open({ home })
    const options = { template: 'base', wall: 'microvm', memoryMiB: 128, diskMiB: 64, network: 'open', timeoutMs: 1_800_000 } as const
    sandbox = await Sandbox.create({ ...options, door: door() })
  })
  afterAll(async () => {
    await sandbox.kill()
    await daemon[Symbol.asyncDispose]()
    disk[Symbol.dispose]()
    rmSync(disk.path, { recursive: true, force: true })
  })

  test('everything that leaves goes through the gate, which judges it by name', async () => {
    const told = await sandbox.commands.run(
      'cat /etc/resolv.conf; curl -sS http://10.1.2.3/; curl -sS http://no-such-name.invalid/ 2>&1; ls /sys/class/net',
    )
    expect(told.stdout).toContain('nameserver 198.18.0.1')
    expect(told.stdout).toContain('NETWORK_DENIED')
    expect(told.stdout).toContain('Could not resolve host')
    const why = (await asks().ask('GET', `/caisson/v1/sandboxes/${sandbox.id}`)).body
    expect(why).toMatchObject({ wall: 'microvm' })
  })

  /** Process and number. */
  const counted = async () =>
    (await sandbox.commands.run(`until ${ASK}; do sleep 0.1; done 2> /dev/null`)).stdout.trim().split(' ').map(Number)
  const goesOn = async (pid: number, least: number) => {
    const [now, first = 0] = await counted()
    expect(now).toBe(pid)
    expect(first).toBeGreaterThanOrEqual(least)
    let last = first
    while (last === first) last = (await counted())[1] ?? first
  }
  const engines = () => spawnSync('pgrep', ['-f', `qemu.*${sandbox.id}`], { encoding: 'utf8' }).stdout
  const pause = () => asks().ask('POST', `/sandboxes/${sandbox.id}/pause`, {})
  const wake = async (more: object = {}) => asks().ask('POST', `/sandboxes/${sandbox.id}/connect`, { timeout: 1800, ...more })
  const woken = async () => {
    const { status, body } = await wake()
    expect(status, JSON.stringify(body)).toBeLessThan(300)
  }

  test('paused, nothing of it runs; after the daemon was killed, and with it whatever was in memory, the same processes go on', async () => {
    await sandbox.files.write('/tmp/counts.py', COUNTS)
    await sandbox.commands.run('nohup python3 -SE /tmp/counts.py > /dev/null 2>&1 &')
    const [pid = 0, number = 0] = await counted()
    await sandbox.runCode('known=41', { language: 'bash' })
    const boot = (await sandbox.commands.run('cat /proc/sys/kernel/random/boot_id /sys/class/net/eth0/address')).stdout
    expect(await pause()).toMatchObject({ status: 204 })
    expect((await asks().ask('GET', `/sandboxes/${sandbox.id}`)).body).toMatchObject({ state: 'paused', pauseMode: 'full' })
    // Neither its machine nor its keeper, whose folder goes last.
    expect(engines()).toBe('')
    expect(existsSync(join(home, 'sandboxes', sandbox.id))).toBe(false)
    const since = Date.now()
    await daemon.stop('SIGKILL')
    daemon = await daemon.again()
    await woken()
    sandbox = await Sandbox.connect(sandbox.id, { door: door() })
    await goesOn(pid, number)
    // By an interpreter that was running before: what it executes is recorded as ever.
    expect((await sandbox.runCode('/bin/true "of $((known + 1))"; echo $((known + 1))', { language: 'bash' })).stdout).toBe('42\n')
    const log = readFileSync(join(home, 'audit', 'audit.jsonl'), 'utf8')
    const executed = log.split('\n').filter((line) => line.includes('"of 42"') && line.includes('"kind":"exec"'))
    expect(executed.map((line) => JSON.parse(line))).toMatchObject([{ sandbox: sandbox.id, path: '/bin/true', told: 'inside' }])
    expect((await sandbox.commands.run('cat /proc/sys/kernel/random/boot_id /sys/class/net/eth0/address')).stdout).toBe(boot)
    // Nearer to the host's than to where it stood still.
    const near = Math.max(1000, (Date.now() - since) / 2)
    const before = Date.now()
    const shown = Number((await sandbox.commands.run('date +%s%3N')).stdout)
    expect(shown).toBeGreaterThan(before - near)
    expect(shown).toBeLessThan(Date.now() + near)
    const told = await sandbox.commands.run('curl -sS http://10.1.2.3/')
    expect(told.stdout).toContain('NETWORK_DENIED')
  })

  test('with no room for its memory it runs on, and whoever paused it is told', async () => {
    const [pid = 0, number = 0] = await counted()
    const filler = join(home, 'filler')
    const { bavail, bsize } = statfsSync(home)
    writeFileSync(filler, Buffer.alloc(bavail * bsize - (16 << 20)))
    expect(await pause()).toMatchObject({ status: 507, body: { message: expect.stringMatching(/runs on/) } })
    expect((await asks().ask('GET', `/sandboxes/${sandbox.id}`)).body.state).toBe('running')
    await goesOn(pid, number)
    const taken = await asks().ask('POST', `/sandboxes/${sandbox.id}/snapshots`, {})
    expect(readdirSync(join(home, 'kept'))).toEqual([])
    // A pause makes room in the memory of the machine; this is refused before anything is copied.
    expect(taken).toMatchObject({ status: 503, body: { message: expect.stringMatching(/MiB are left on the disk/) } })
    expect(readdirSync(join(home, 'snapshots'))).toEqual([])
    rmSync(filler)
    await goesOn(pid, number)
  })

  test('a memory that was changed, cut short, or is of another version is refused by name, and what is left untouched wakes', async () => {
    const [pid = 0, number = 0] = await counted()
    expect(await pause()).toMatchObject({ status: 204 })
    const folder = join(home, 'kept', `${sandbox.id}.asleep`)
    const [state, made] = [join(folder, 'state'), join(folder, 'made.json')]
    const text = readFileSync(made, 'utf8')
    const size = statSync(state).size
    const byte = Buffer.alloc(1)
    const turn = () => {
      const fd = openSync(state, 'r+')
      readSync(fd, byte, 0, 1, size >> 1)
      writeSync(fd, Buffer.of(byte.readUInt8() ^ 1), 0, 1, size >> 1)
      closeSync(fd)
    }
    const refused = async (why: string) => {
      expect(await wake()).toMatchObject({ status: 409, body: { message: expect.stringContaining(why) } })
      expect((await asks().ask('GET', `/sandboxes/${sandbox.id}`)).body.state).toBe('paused')
    }
    turn()
    await refused('its sum differs')
    turn()
    const last = readFileSync(state).subarray(size - 1)
    truncateSync(state, size - 1)
    await refused('its sum differs')
    appendFileSync(state, last)
    // As if its files had been used without it.
    const [image, times] = [`${folder.replace(/asleep$/, 'img')}`, join(home, 'times')]
    spawnSync('touch', ['-r', image, times])
    spawnSync('touch', [image])
    await refused('its disk was written to since')
    spawnSync('touch', ['-r', times, image])
    for (const [field, why] of [
      ['architecture', 'another architecture'],
      ['engine', 'another engine'],
    ] as const) {
      writeFileSync(made, JSON.stringify({ ...JSON.parse(text), [field]: 'other' }))
      await refused(why)
    }
    writeFileSync(made, text)
    renameSync(join(folder, 'whole.json'), join(folder, 'whole'))
    await refused('whole.json is missing')
    renameSync(join(folder, 'whole'), join(folder, 'whole.json'))
    await woken()
    sandbox = await Sandbox.connect(sandbox.id, { door: door() })
    await goesOn(pid, number)
  })

  test('a keeper that is killed while it writes the memory: whoever paused is told, and the files are kept', async () => {
    await sandbox.commands.run('echo kept > /home/user/k; sync')
    const [qemu] = engines().split('\n').map(Number)
    const pilot = parentOf(qemu ?? 0)
    // It hears the order, and waits for a machine that says nothing.
    process.kill(qemu ?? 0, 'SIGSTOP')
    const paused = pause()
    await expect.poll(() => existsSync(join(home, 'kept', `${sandbox.id}.asleep`, 'made.json')), { timeout: 60_000 }).toBe(true)
    process.kill(parentOf(pilot), 'SIGKILL')
    expect(await paused).toMatchObject({ status: 507, body: { message: expect.stringMatching(/files alone/) } })
    expect(engines()).toBe('')
    expect(await wake()).toMatchObject({ status: 201 })
    sandbox = await Sandbox.connect(sandbox.id, { door: door() })
    expect((await sandbox.commands.run('cat k')).stdout).toBe('kept\n')
  })

  test('what was written last is in a fork, and in what is started after a pause without memory', async () => {
    await sandbox.commands.run(
      'echo last > /home/user/f; dd if=/dev/zero of=/home/user/g bs=1M count=8 2>&1; cat /proc/sys/kernel/random/boot_id > /tmp/boot',
    )
    const forks = (await asks().ask('POST', `/sandboxes/${sandbox.id}/fork`, { count: 1, timeout: 1800 })).body
    const fork = await Sandbox.connect(forks[0].sandbox.sandboxID, { door: door() })
    const asked =
      'cat f; stat -c %s g; cat /tmp/boot /proc/sys/kernel/random/boot_id /etc/machine-id; hostname; head -c 16 /dev/urandom | od -An -tx1'
    const [one, other] = await Promise.all([sandbox, fork].map(async (each) => (await each.commands.run(asked)).stdout.trim().split('\n')))
    expect(other?.slice(0, 3)).toEqual(one?.slice(0, 3))
    for (const field of [3, 4, 5, 6]) expect(other?.[field]).not.toBe(one?.[field])
    await fork.kill()
    expect(await asks().ask('POST', `/sandboxes/${sandbox.id}/pause`, { memory: false })).toMatchObject({ status: 204 })
    expect((await asks().ask('POST', `/sandboxes/${sandbox.id}/connect`, { timeout: 1800 })).status).toBeLessThan(300)
    sandbox = await Sandbox.connect(sandbox.id, { door: door() })
    const told = await sandbox.commands.run('cat f; stat -c %s g; cmp /tmp/boot /proc/sys/kernel/random/boot_id > /dev/null || echo anew')
    expect(told.stdout).toBe(`last\n${8 << 20}\nanew\n`)
  }, 600_000)
})

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}
