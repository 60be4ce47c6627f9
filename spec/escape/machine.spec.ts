import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { onWall } from '../walls/every-wall.ts'
import { SpecHost } from '../walls/home.ts'
import { chain, WAYS } from './ways-to-execute.ts'

let host: SpecHost
beforeAll(async () => {
  host = await SpecHost.open()
})
afterAll(async () => {
  await host[Symbol.asyncDispose]()
})

const status = (pid: string, field: string) =>
  new RegExp(`^${field}:\\s+(\\S+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]

onWall('microvm', () => {
  let sandbox: Sandbox
  let pids: string[]
  beforeAll(async () => {
    // No more than a MiB of records, which nothing here needs but what is to use it up.
    writeFileSync(join(host.home, 'profiles', 'brief.json'), JSON.stringify({ extends: 'default', audit: { maxMiB: 1 } }))
    const options = { profile: 'brief', template: 'base', wall: 'microvm', memoryMiB: 256, timeoutMs: 1_200_000 } as const
    sandbox = await Sandbox.create({ ...options, door: host.door })
    pids = execFileSync('pgrep', ['-f', `qemu.*${sandbox.id}`], { encoding: 'utf8' })
      .trim()
      .split('\n')
  })
  afterAll(async () => {
    await sandbox.kill()
  })
  const records = (kind: string) =>
    readFileSync(join(host.home, 'audit', 'audit.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter((record) => record.kind === kind && record.sandbox === sandbox.id)
  /** First arguments of what was executed, in order. */
  const executed = () => records('exec').map(({ argv }): string => argv[1] ?? '')

  test('system calls are answered by a kernel of its own, which is not the host’s and knows nothing of it', async () => {
    const { stdout } = await sandbox.commands.run('cat /proc/version /proc/cmdline /proc/sys/kernel/random/boot_id; cat /proc/*/comm', {
      user: 'root',
    })
    expect(stdout).not.toContain(readFileSync('/proc/version', 'utf8').trim())
    expect(stdout).not.toContain(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
    expect(stdout).not.toMatch(/qemu|keeper|node|vitest/)
  })

  test('it is as large as it was told, and shows itself as itself', async () => {
    const { stdout } = await sandbox.commands.run(
      'hostname; cat /etc/machine-id; nproc; awk "/MemTotal/ { print \\$2 }" /proc/meminfo; date +%s',
    )
    const [name, machine, processors, kibibytes, seconds] = stdout.trim().split('\n')
    expect(name).toBe(sandbox.id)
    expect(machine).toMatch(/^[0-9a-f]{32}$/)
    expect(processors).toBe('1')
    expect(Number(kibibytes)).toBeLessThan((256 + 112) * 1024)
    expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(60)
  })

  test('its programs may use all of its processors, whichever its agent stays on', async () => {
    const wide = await Sandbox.create({ template: 'base', wall: 'microvm', memoryMiB: 128, cpus: 2, timeoutMs: 120_000, door: host.door })
    try {
      const { stdout } = await wide.commands.run('nproc; grep Cpus_allowed_list /proc/self/status /proc/1/status')
      expect(stdout.replaceAll(/[\t ]+/g, ' ')).toBe('2\n/proc/self/status:Cpus_allowed_list: 0-1\n/proc/1/status:Cpus_allowed_list: 0\n')
    } finally {
      await wide.kill()
    }
  })

  test('what carries the words of its agent has no file of the host’s, and QEMU, which has the same ids, none by way of it', () => {
    const pilot = status(pids[0] ?? '', 'PPid') ?? ''
    const open = readdirSync(`/proc/${pilot}/fd`).map((fd) => readlinkSync(`/proc/${pilot}/fd/${fd}`))
    // What it would complain to is a file without a name.
    const files = open.filter((path) => path.startsWith('/') && !/^(\/dev)?\/null$|\.err \(deleted\)$/.test(path))
    expect(files).toEqual([])
  })

  test('QEMU is in a narrow container: nobody’s ids, no capability, a filter, nothing to write to but one disk, and no network but `lo`', () => {
    expect(pids).toHaveLength(1)
    for (const pid of pids) {
      expect(Number(status(pid, 'Uid'))).toBeGreaterThan(1_900_000_000)
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(status(pid, set)).toMatch(/^0+$/)
      expect(status(pid, 'NoNewPrivs')).toBe('1')
      expect(status(pid, 'Seccomp')).toBe('2')
      for (const kind of ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup']) {
        expect(readlinkSync(`/proc/${pid}/ns/${kind}`)).not.toBe(readlinkSync(`/proc/self/ns/${kind}`))
      }
      const places = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n')
      const writable = places.filter((line) => / rw[, ]/.test(line.split(' - ')[0] ?? '')).map((line) => line.split(' ')[4])
      expect(writable.sort()).toEqual(['/dev/null', '/proc'])
      expect(readdirSync(`/proc/${pid}/root`).sort()).toEqual(expect.arrayContaining(['kernel', 'initrd', 'usr.erofs', 'shown.erofs']))
      expect(readdirSync(`/proc/${pid}/root`)).not.toContain('root')
      const disks = new Set(readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`)))
      expect([...disks].filter((path) => path.includes('/sandboxes/'))).toEqual([`${host.home}/sandboxes/${sandbox.id}/disk.img`])
      // And may not make it larger than it is.
      const limits = readFileSync(`/proc/${pid}/limits`, 'utf8')
      const disk = statSync(`${host.home}/sandboxes/${sandbox.id}/disk.img`).size
      expect(/^Max file size\s+(\d+)\s+(\d+)/m.exec(limits)?.slice(1)).toEqual([`${disk}`, `${disk}`])
      const links = readFileSync(`/proc/${pid}/net/dev`, 'utf8')
        .split('\n')
        .slice(2)
        .filter((line) => line.trim() !== '')
      expect(links.map((line) => line.trim().split(':')[0])).toEqual(['lo'])
    }
  })

  test('root inside holds no right over its own kernel: no device, no module, no mount', async () => {
    const tried = 'ls /dev; mknod /tmp/d c 1 1; mount -t tmpfs x /mnt; echo x > /proc/sys/kernel/hostname; grep CapEff /proc/self/status'
    const { stdout } = await sandbox.commands.run(`${tried}; true`, { user: 'root' })
    expect(stdout.split('\n')).not.toEqual(expect.arrayContaining(['vda']))
    expect(stdout).not.toMatch(/vport|kmsg|mem\b|ttyS0/)
    expect(stdout).toMatch(/CapEff:\s+00000000000004fb/)
    expect((await sandbox.commands.run('mount | grep /mnt; test -e /tmp/d')).exitCode).not.toBe(0)
  })

  test('switches of its own kernel are its own: root inside turns them, as the threat model says, and the host’s and QEMU’s walls stay as they are', async () => {
    const switches = ['kernel/core_pattern', 'vm/overcommit_memory', 'kernel/pid_max']
    const ofHost = () => switches.map((name) => readFileSync(`/proc/sys/${name}`, 'utf8'))
    const before = ofHost()
    const turned = 'cd /proc/sys; echo "|/caisson-spec" >kernel/core_pattern && echo 2 >vm/overcommit_memory && cat kernel/core_pattern'
    const { stdout } = await sandbox.commands.run(`${turned}; echo 1 >vm/overcommit_memory`, { user: 'root' })
    expect(stdout).toBe('|/caisson-spec\n')
    expect(ofHost()).toEqual(before)
    for (const pid of pids) expect([status(pid, 'CapBnd'), status(pid, 'Seccomp')]).toEqual(['0000000000000000', '2'])
    // Who is not root inside turns nothing.
    expect((await sandbox.commands.run('echo core >/proc/sys/kernel/core_pattern')).exitCode).not.toBe(0)
  })

  test('the agent’s conversation with the host is nobody else’s', async () => {
    const told = await sandbox.commands.run('ls -l /proc/self/fd; ls -la /proc/1/fd; find / -xdev -type s 2>/dev/null')
    expect(told.stdout).not.toMatch(/socket|vport/)
  })

  test('many connections at once, and more bytes than any window holds', async () => {
    const sizes = [1, 70_000, 300_000, 5 << 20]
    await Promise.all(
      sizes.map(async (size) => {
        const bytes = new Uint8Array(size).map((_, index) => (index * 31) % 251)
        await sandbox.files.write(`f${size}`, bytes)
        expect(Buffer.compare(await sandbox.files.read(`f${size}`, { format: 'bytes' }), bytes)).toBe(0)
      }),
    )
    const told = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((number) => sandbox.commands.run(`head -c 400000 /dev/zero | tr '\\0' ${number}`)),
    )
    expect(told.map(({ stdout }) => stdout.length)).toEqual(told.map(() => 400_000))
  })

  test('whatever is executed is recorded, children of children too, as what the machine says: the programs’ own lists are the same', async () => {
    const own = 'echo "$0"; /bin/true "$0"; setsid sh -c "echo \\$0; (exec /bin/true \\$0)" "$0.child"'
    const { stdout } = await sandbox.commands.run(`for name in own.1 own.2 own.3; do sh -c '${own}' $name & done; wait`)
    const said = stdout.trim().split('\n').sort()
    expect(said).toHaveLength(6)
    const found = records('exec').filter(({ path, argv }) => path === '/bin/true' && String(argv[1]).startsWith('own.'))
    expect(found.map(({ argv }) => argv[1]).sort()).toEqual(said)
    for (const record of found) expect(record).toMatchObject({ told: 'inside', pid: expect.any(Number), truncated: false })
    expect(records('create')[0].plan.audit.commands).toBe(true)
  })

  test('no way of executing goes unrecorded; those that would are shut', async () => {
    const place = mkdtempSync(join(tmpdir(), 'cai-'))
    // On the host, where nobody listens, each of them runs, as far as its kernel knows them at all.
    const free = execFileSync('python3', ['-c', WAYS], { encoding: 'utf8', env: { ...process.env, PLACE: place } })
    rmSync(place, { recursive: true })
    const ends = (text: string) =>
      Object.fromEntries(
        text
          .trim()
          .split('\n')
          .map((line) => line.split(/ (.*)/)),
      )
    const { by_32_bits: _, by_x32: __, ...known } = ends(free)
    expect([...new Set(Object.values(known))]).toEqual(['ran'])
    const { stdout } = await sandbox.commands.run(`python3 -c '${WAYS.replaceAll("'", `'"'"'`)}'`, { env: { PLACE: '/home/user' } })
    const shut = { by_own_listener: 'EBUSY', by_32_bits: 'signal 31', by_x32: 'ENOSYS' }
    expect(ends(stdout)).toEqual({ ...known, ...shut })
    const found = executed().filter((name) => name.startsWith('by_'))
    expect(found.sort()).toEqual(
      Object.keys(known)
        .filter((name) => !(name in shut))
        .sort(),
    )
  })

  test('500 at once, as fast as its kernel makes them, are 500 records, in the order in which each asked', async () => {
    await sandbox.files.write('chain', chain())
    const letters = ['a', 'b', 'c', 'd']
    const each = letters.map((letter) => `./chain ${letter.repeat(124)} &`).join(' ')
    expect((await sandbox.commands.run(`chmod +x chain; ${each} wait`)).exitCode).toBe(0)
    const found = records('exec').filter(({ path }) => path === './chain')
    expect(found).toHaveLength(500)
    for (const letter of letters) {
      const lengths = found.filter(({ argv }) => argv[1].startsWith(letter)).map(({ argv }) => argv[1].length)
      expect(lengths).toEqual(Array.from({ length: 124 }, (_, index) => 124 - index))
    }
  })

  test('secrets in what children execute are not recorded', async () => {
    await sandbox.commands.run('/bin/true "sent $API_TOKEN"; /bin/true --password=hunter2hunter2', { env: { API_TOKEN: 'f00dfacecafe' } })
    expect(executed()).toEqual(expect.arrayContaining(['sent [redacted]', '--password=[redacted]']))
    expect(JSON.stringify(records('exec'))).not.toMatch(/f00dfacecafe|hunter2hunter2/)
  })

  test('what cannot be recorded any more is not executed, is said at once, and is counted at the end', async () => {
    // Eight thousand, of eight thousand bytes and less: a MiB is used up long before.
    const { exitCode } = await sandbox.commands.run('./chain $(head -c 8000 /dev/zero | tr "\\0" x); ./chain y')
    expect(exitCode).not.toBe(0)
    const lengths = executed().filter((argument) => argument.startsWith('xx'))
    expect(lengths.map((argument) => argument.length)).toEqual(lengths.map((_, index) => 8000 - index))
    expect(lengths.length).toBeGreaterThan(50)
    expect(executed()).not.toContain('y')
    expect(records('limit')).toMatchObject([{ reason: 'audit', ends: false }])
    await expect(sandbox.commands.run('true')).rejects.toThrow(/not permitted/i)
    await sandbox.kill()
    expect(records('limit').at(-1)).toMatchObject({ reason: 'audit', detail: expect.stringMatching(/: [3-9]$/) })
  })
})

onWall('microvm', () => {
  test('what cannot be had behind it is refused by name, and never given weaker', async () => {
    const make = (options: object) => Sandbox.create({ template: 'base', wall: 'microvm', door: host.door, ...options })
    const mounts = [{ source: '/tmp', target: '/data', mode: 'ro' as const }]
    await expect(make({ mounts })).rejects.toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('mounts') })
    await expect(make({ memoryMiB: 32 })).rejects.toMatchObject({ code: 'BAD_REQUEST', message: expect.stringContaining('memoryMiB') })
    await expect(make({ memoryMiB: null })).rejects.toMatchObject({ code: 'BAD_REQUEST', message: expect.stringContaining('memoryMiB') })
  })
})
