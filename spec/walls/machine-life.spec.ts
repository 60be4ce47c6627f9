import { afterAll, beforeAll, expect, test } from 'vitest'
import { RemoteDoor, Sandbox } from '../../client/index.ts'
import { ControlClient } from '../api/control-client.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { onWall } from './every-wall.ts'

/** In the background, for as long as it is let: a number that grows, and that dies with its process. */
const COUNTS = `nohup sh -c 'n=0; while :; do n=$((n+1)); echo $n > /dev/shm/n; sleep 0.1; done' > /dev/null 2>&1 & echo $! > /tmp/pid`

onWall('microvm', () => {
  let daemon: SpecDaemon
  let sandbox: Sandbox
  const asks = () => new ControlClient(daemon.url, daemon.key)
  const door = () => new RemoteDoor({ url: daemon.url, key: daemon.key })
  beforeAll(async () => {
    daemon = await SpecDaemon.open()
    const options = { template: 'base', wall: 'microvm', memoryMiB: 128, diskMiB: 64, network: 'open', timeoutMs: 1_800_000 } as const
    sandbox = await Sandbox.create({ ...options, door: door() })
  })
  afterAll(async () => {
    await sandbox.kill()
    await daemon[Symbol.asyncDispose]()
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

  test('paused, it stands still; resumed after the daemon was killed, it goes on with the same processes', async () => {
    await sandbox.commands.run(COUNTS)
    await sandbox.commands.run('while ! test -s /dev/shm/n; do sleep 0.1; done')
    expect(await asks().ask('POST', `/sandboxes/${sandbox.id}/pause`, {})).toMatchObject({ status: 204 })
    expect((await asks().ask('GET', `/sandboxes/${sandbox.id}`)).body.state).toBe('paused')
    await daemon.stop('SIGKILL')
    daemon = await daemon.again()
    expect((await asks().ask('POST', `/sandboxes/${sandbox.id}/connect`, { timeout: 1800 })).status).toBeLessThan(300)
    sandbox = await Sandbox.connect(sandbox.id, { door: door() })
    const told = await sandbox.commands.run(
      'a=$(cat /dev/shm/n); kill -0 $(cat /tmp/pid) && while test $a = "$(cat /dev/shm/n)"; do sleep 0.1; done; echo on',
    )
    expect(told.stdout).toBe('on\n')
    // What it shows of the time is the host's.
    expect(Math.abs(Number((await sandbox.commands.run('date +%s')).stdout) - Date.now() / 1000)).toBeLessThan(60)
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
  })
})
