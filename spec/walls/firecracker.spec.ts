import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RemoteDoor, Sandbox } from '../../client/index.ts'
import { readSettings } from '../../host/settings.ts'
import { ControlClient } from '../api/control-client.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { onWall } from './every-wall.ts'

/**
 * The real one needs a KVM that starts machines: `REQUIRE=firecracker npx vitest run spec/walls/firecracker.spec.ts` where there is one. Everywhere else a
 * stand-in speaks its published API, and has QEMU run the machine that it was told of.
 */
const IS_REAL = process.env['REQUIRE'] === 'firecracker'
const STAND_IN = readFileSync(join(import.meta.dirname, 'firecracker-stand-in.py'), 'utf8')
const LACKING = ['/dev/kvm', '/dev/net/tun'].find((device) => !existsSync(device))

/** By the shell alone: an emulated processor takes a second for each program. */
const ASKED = `cat /etc/resolv.conf
exec 3<> /dev/tcp/10.1.2.3/80 && printf 'GET / HTTP/1.1\\r\\nHost: 10.1.2.3\\r\\nConnection: close\\r\\n\\r\\n' >&3 && cat <&3
(exec 3<> /dev/tcp/no-such-name.invalid/80) 2>&1
exec 3<> /dev/udp/203.0.113.7/443 && echo >&3 && read -t 60 -r <&3 2>&1
true`

onWall('microvm', () => {
  if (LACKING !== undefined && !IS_REAL) return test.skip(`Firecracker: there is no ${LACKING}`, () => undefined)
  /** State, templates and the stand-in: everything that is remembered of an engine is remembered here. */
  let place: string
  let daemon: SpecDaemon
  let operator: ControlClient
  const stand = (mode: string) => {
    const path = join(place, 'firecracker')
    writeFileSync(`${path}.new`, STAND_IN.replace('MODE = "serve"', `MODE = ${JSON.stringify(mode)}`))
    chmodSync(`${path}.new`, 0o755)
    execFileSync('mv', [`${path}.new`, path])
  }
  beforeAll(async () => {
    place = mkdtempSync(join(tmpdir(), 'cai-'))
    const templates = borrowedTemplates(place)
    if (!IS_REAL) stand('serve')
    const named = IS_REAL ? { CAISSON_MACHINES: 'firecracker' } : { CAISSON_FIRECRACKER: join(place, 'firecracker') }
    daemon = await SpecDaemon.open({ home: join(place, 'h'), env: { CAISSON_TEMPLATES: templates, ...named } })
    operator = new ControlClient(daemon.url, daemon.key)
  })
  afterAll(async () => {
    await daemon[Symbol.asyncDispose]()
    rmSync(place, { recursive: true, force: true })
  })
  const options = { template: 'base', wall: 'microvm', memoryMiB: 128, diskMiB: 64 } as const
  /** All that is recorded. */
  const audit = () => {
    const folder = join(daemon.home, 'audit')
    const names = readdirSync(folder).filter((name) => name.endsWith('.jsonl'))
    return names.map((name) => readFileSync(join(folder, name), 'utf8')).join('')
  }
  const create = () => operator.ask('POST', '/caisson/v1/sandboxes', { ...options, network: 'none' })

  describe('a machine that runs', () => {
    let sandbox: Sandbox
    let pid: string
    const run = (command: string) => sandbox.commands.run(command)
    beforeAll(async () => {
      const door = new RemoteDoor({ url: daemon.url, key: daemon.key })
      sandbox = await Sandbox.create({ ...options, network: 'open', timeoutMs: 1_800_000, door })
      // In order of age: itself first, whatever it has started after it.
      pid = execFileSync('pgrep', ['-o', '-f', `api-sock.*${sandbox.id}`], { encoding: 'utf8' }).trim()
    })
    afterAll(async () => {
      await sandbox.kill()
    })

    test('who runs it is in the record of its creation', () => {
      const created = audit()
        .split('\n')
        .find((line) => line.includes(sandbox.id) && line.includes('"vmm"'))
      expect(created).toContain('"vmm":"firecracker"')
      expect(created).toContain('"platform":"kvm"')
    })

    test.skipIf(IS_REAL)('it was told, in this order, what its machine is, and nothing of the host’s', () => {
      const told = JSON.parse(readFileSync(`/proc/${pid}/root/run/told`, 'utf8')) as [string, Record<string, unknown>][]
      expect(told.map(([path]) => path)).toEqual([
        ...['/machine-config', '/boot-source', '/drives/shown', '/drives/usr', '/drives/own', '/vsock', '/network-interfaces/out'],
        '/actions',
      ])
      const [size, start, shown, usr, own, vsock, link] = told.map(([, body]) => body)
      expect(size).toEqual({ vcpu_count: 1, mem_size_mib: 128 + 112, smt: false })
      expect(start).toEqual({
        kernel_image_path: '/kernel',
        initrd_path: '/initrd',
        boot_args: expect.stringMatching(/pci=off .* reboot=k rdinit=\/init -- vm vsock$/),
      })
      const drive = { is_root_device: false, is_read_only: true, cache_type: 'Unsafe' }
      expect(shown).toEqual({ ...drive, drive_id: 'shown', path_on_host: '/shown.erofs' })
      expect(usr).toEqual({ ...drive, drive_id: 'usr', path_on_host: '/usr.erofs' })
      expect(own).toEqual({ ...drive, drive_id: 'own', path_on_host: '/proc/self/fd/3', is_read_only: false, cache_type: 'Writeback' })
      expect(vsock).toEqual({ guest_cid: 3, uds_path: '/run/vsock' })
      expect(link).toEqual({ iface_id: 'out', host_dev_name: 'out' })
    })

    test('it is in a narrow container: nobody’s ids, no capability, a filter, nothing to write to but its sockets and one disk', () => {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1]
      expect(Number(field('Uid'))).toBeGreaterThan(1_900_000_000)
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(field(set)).toMatch(/^0+$/)
      expect([field('NoNewPrivs'), field('Seccomp')]).toEqual(['1', '2'])
      for (const kind of ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup']) {
        expect(readlinkSync(`/proc/${pid}/ns/${kind}`)).not.toBe(readlinkSync(`/proc/self/ns/${kind}`))
      }
      const places = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n')
      const writable = places.filter((line) => / rw[, ]/.test(line.split(' - ')[0] ?? '')).map((line) => line.split(' ')[4])
      expect(writable.sort()).toEqual(['/dev/null', '/proc', '/run'])
      // No neighbour of version 6: the kernel would remember as many as it is told of.
      expect(readFileSync(`/proc/${pid}/net/if_inet6`, 'utf8')).not.toMatch(/ out$/m)
      expect(readdirSync(`/proc/${pid}/root/dev`).sort()).toEqual(['kvm', 'net', 'null'])
      // Its agent came by this door, and nobody comes after it.
      expect(readdirSync(`/proc/${pid}/root/run`)).not.toContain('vsock_1024')
    })

    test('a link is a way to the gate, and no other: names and addresses are judged, the rest is refused and noted', async () => {
      const { stdout } = await run(ASKED)
      expect(stdout).toContain('nameserver 198.18.0.1')
      expect(stdout).toContain('NETWORK_DENIED')
      expect(stdout).toContain('no-such-name.invalid: ')
      expect(stdout).toMatch(/read error: .*Connection refused/)
      // Told over this channel as over the other.
      const execs = audit()
        .split('\n')
        .filter((line) => line.includes(`"sandbox":"${sandbox.id}"`) && line.includes('"kind":"exec"'))
      expect(execs.join()).toContain('"told":"inside"')
      await expect.poll(audit, { timeout: 60_000 }).toContain('udp to 203.0.113.7:443')
    })

    test('what was written is on its disk, and is there when it starts anew after a pause, which keeps no memory here', async () => {
      await run('echo last > /home/user/f; nohup sleep 600 > /dev/null 2>&1 &')
      expect(await operator.ask('POST', `/sandboxes/${sandbox.id}/pause`, { memory: false })).toMatchObject({ status: 204 })
      expect(existsSync(`/proc/${pid}`)).toBe(false)
      expect((await operator.ask('POST', `/sandboxes/${sandbox.id}/connect`, { timeout: 1800 })).status).toBeLessThan(300)
      sandbox = await Sandbox.connect(sandbox.id, { door: new RemoteDoor({ url: daemon.url, key: daemon.key }) })
      expect((await run('cat f; pgrep sleep || echo none')).stdout).toBe('last\nnone\n')
    })
  })

  test('what it loads is a program, not a packed kernel', () => {
    const { templates } = readSettings({ home: join(place, 'h') })
    const head = readFileSync(join(templates, 'machine', 'kernel', 'vmlinux')).subarray(0, 64)
    // ELF of 64 bits, for x86-64, to be run where it says (elf(5)).
    expect([head.toString('latin1', 1, 4), head[4], head.readUInt16LE(16), head.readUInt16LE(18)]).toEqual(['ELF', 2, 2, 62])
    expect(Number(head.readBigUInt64LE(24))).toBeGreaterThanOrEqual(1 << 20)
  })

  test.skipIf(IS_REAL)('what it refuses, says or does not live to say is told, and leaves nothing', async () => {
    const cases = [
      ['refuses /vsock', 'Firecracker refused PUT /vsock (400): as it was told to'],
      ['refuses /actions', 'Firecracker refused PUT /actions (400): as it was told to'],
      ['dies', 'its last words'],
      ['dies later', 'ended'],
      ['babble', 'the conversation with its agent broke off'],
    ] as const
    for (const [mode, why] of cases) {
      stand(mode)
      expect(await create(), mode).toMatchObject({
        status: 500,
        body: { error_code: 'launch_failed', message: expect.stringContaining(why) },
      })
    }
    expect(readdirSync(join(daemon.home, 'sandboxes'))).toEqual([])
  })

  test.skipIf(IS_REAL)('asked for by name, it is there or the wall is not: nothing else runs the machine', async () => {
    const unavailable = { status: 503, body: { error_code: 'wall_unavailable' } }
    stand('starts nothing')
    const answer = await create()
    expect(answer).toMatchObject(unavailable)
    expect(JSON.stringify(answer.body)).toContain('it did not run what it was given')
    expect(JSON.stringify(answer.body)).toContain('modprobe -a kvm_intel kvm_amd tun')
    rmSync(join(place, 'firecracker'))
    const missing = await create()
    expect(missing).toMatchObject(unavailable)
    expect(JSON.stringify(missing.body)).toContain('CAISSON_MACHINES=qemu')
    stand('serve')
    chmodSync(join(place, 'firecracker'), 0o757)
    expect(JSON.stringify((await create()).body)).toContain('may be written by others than root')
  })
})

/** Those of this machine, by links; and modules for vsock, which the stand-in has no use for, where set-up has not fetched them. */
function borrowedTemplates(place: string): string {
  const { templates } = readSettings({ home: join(place, 'h') })
  const own = join(place, 'templates')
  mkdirSync(join(own, 'machine'), { recursive: true })
  symlinkSync(join(templates, 'base'), join(own, 'base'))
  const kernel = readlinkSync(join(templates, 'machine', 'kernel'))
  mkdirSync(join(own, 'machine', kernel))
  for (const part of readdirSync(join(templates, 'machine', kernel)))
    symlinkSync(join(templates, 'machine', kernel, part), join(own, 'machine', kernel, part))
  if (!existsSync(join(own, 'machine', kernel, 'vsock'))) {
    mkdirSync(join(own, 'machine', kernel, 'vsock'))
    writeFileSync(join(own, 'machine', kernel, 'vsock', 'order'), '')
  }
  symlinkSync(kernel, join(own, 'machine', 'kernel'))
  const usr = readlinkSync(join(templates, 'machine', 'usr'))
  symlinkSync(join(templates, 'machine', usr), join(own, 'machine', usr))
  symlinkSync(usr, join(own, 'machine', 'usr'))
  return own
}
