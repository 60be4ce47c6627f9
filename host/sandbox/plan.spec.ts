import { type CreateRequest, Plan } from '@caisson/wire'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Template } from '../templates/template.ts'
import { type MachineFacts, planSandbox, planZygote } from './plan.ts'
import type { Profile } from './profile.ts'
import { parseRequest, StrictCreateRequest } from './request.ts'

const profile: Profile = {
  name: 'default',
  description: '',
  wall: 'container',
  template: 'code-interpreter',
  network: 'none',
  limits: { timeoutMs: 120_000, memoryMiB: 1024, cpus: 1, pids: 128, diskMiB: 1024, outputMiB: 64, openFiles: 1024, onHit: 'end' },
  leash: 'host',
  root: 'read-only',
  files: 'scratch',
  noNewPrivileges: true,
  seccomp: { allowUserNamespaces: false },
  folder: null,
  scan: { mode: 'off', banned: false },
  audit: { commands: true, maxMiB: 16 },
}
const template: Template = {
  name: 'code-interpreter',
  etc: '/state/templates/code-interpreter/etc-1',
  binds: [
    { source: '/usr/lib/nested', target: '/usr/lib/nested', mode: 'ro' },
    { source: '/usr', target: '/usr', mode: 'ro' },
    { source: '/state/templates/code-interpreter/etc-1', target: '/etc', mode: 'ro' },
  ],
  ground: '/state/templates/code-interpreter/ground-1',
  shown: null,
  preloads: true,
  sudo: [{ source: '/usr/bin/sudo', target: '/usr/bin/sudo', mode: 'ro', ownedBy: 'root', setuid: true }],
  symlinks: [{ path: '/bin', to: 'usr/bin' }],
  env: { PATH: '/usr/bin' },
  languages: ['python'],
  zygote: { argv: ['/usr/bin/python3'], env: {} },
  generation: '0123abcd',
}
const facts: MachineFacts = {
  root: true,
  home: '/state',
  agent: '/opt/caisson/native/bin/caisson-agent',
  auditLog: '/state/audit/audit.jsonl',
  id: 'iaaaaaaaaaaaaaaaaaaa',
  machineId: '0'.repeat(32),
  zygoteSocket: '/state/zygotes/x/zygote.sock',
  kept: null,
  onWall: 'end',
  airlock: null,
  wall: { name: 'container', engine: null, sudo: true, mounts: true },
  trust: null,
}
/** What is no plan, and would be refused by the keeper, fails here. */
function made(request: unknown, profiled: Profile, from: Template, known: MachineFacts): Plan {
  const one = planSandbox(parseRequest(request), profiled, from, known)
  expect(Plan.parse(one)).toEqual(one)
  return one
}
const plan = (request: unknown = {}, changed: Partial<MachineFacts> = {}) => made(request, profile, template, { ...facts, ...changed })

const MIB = 1024 * 1024
const limit = (schema: fc.Arbitrary<number>) => fc.option(fc.oneof(schema, fc.constant(null)), { nil: undefined })
const request = fc
  .record(
    {
      timeoutMs: limit(fc.integer({ min: 1, max: 10 ** 9 })),
      memoryMiB: limit(fc.integer({ min: 16, max: 10 ** 6 })),
      cpus: limit(fc.double({ min: 0.01, max: 1024, noNaN: true })),
      pids: limit(fc.integer({ min: 4, max: 10 ** 6 })),
      diskMiB: fc.integer({ min: 4, max: 10 ** 6 }),
      outputMiB: limit(fc.double({ min: 0.001, max: 1024, noNaN: true })),
      openFiles: fc.integer({ min: 16, max: 10 ** 6 }),
      env: fc.dictionary(fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,9}$/), fc.stringMatching(/^[^\0]*$/)),
      leash: fc.constantFrom('host' as const, 'none' as const),
      mounts: fc.array(
        fc.record({
          source: fc.stringMatching(/^\/data\/[a-z]{1,8}$/),
          target: fc.stringMatching(/^\/home\/user\/[a-z]{1,8}$/),
          mode: fc.constantFrom('ro' as const, 'rw' as const),
        }),
        { maxLength: 3 },
      ),
    },
    { requiredKeys: [] },
  )
  .filter(({ mounts = [] }) => new Set(mounts.map(({ target }) => target)).size === mounts.length)
  .map((record) => Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)))

const ENGINE = { program: '/usr/bin/runsc', version: '1', platform: 'ptrace' as const, preload: null, traces: false, warm: null }

describe('a plan', () => {
  test('is what the keeper takes, whatever was asked for', () => {
    fc.assert(
      fc.property(request, fc.boolean(), (asked, root) => {
        plan(asked, { root })
      }),
    )
  })

  test('is made of its input and nothing else, and leaves that as it was', () => {
    fc.assert(
      fc.property(request, (asked) => {
        const before = JSON.stringify([asked, profile, template, facts])
        expect(plan(asked)).toEqual(plan(asked))
        expect(JSON.stringify([asked, profile, template, facts])).toBe(before)
      }),
    )
  })

  test('has every limit of the profile that the request does not speak of', () => {
    expect(plan().limits).toEqual({
      wallMs: 120_000,
      onWall: 'end',
      memoryBytes: 1024 * MIB,
      cpuMilli: 1000,
      pids: 128,
      openFiles: 1024,
      outputBytes: 64 * MIB,
      onHit: 'end',
    })
  })

  test('takes null for "not limited", and a number instead of the profile\'s', () => {
    const { limits, disk } = plan({ memoryMiB: null, timeoutMs: 5, cpus: 0.5, pids: null, outputMiB: null, diskMiB: 8 })
    expect(limits).toMatchObject({ memoryBytes: null, wallMs: 5, cpuMilli: 500, pids: null, outputBytes: null })
    expect(disk).toMatchObject({ bytes: 8 * MIB, inodes: 1024 })
  })

  test('has a disk image as root, memory and a single owner of mounts without', () => {
    const mounts = [{ source: '/data', target: '/home/user/data', mode: 'rw' }]
    const [asRoot, asUser] = [plan({ mounts }), plan({ mounts }, { root: false })]
    expect(asRoot.disk).toEqual({
      kind: 'image',
      image: '/state/disks/ext4-1024-65536.img',
      take: false,
      bytes: 1024 * MIB,
      inodes: 65_536,
    })
    expect(asRoot.binds).toContainEqual({ source: '/data', target: '/home/user/data', mode: 'rw', live: true, ownedBy: 'user' })
    expect(asUser.disk).toEqual({ kind: 'tmpfs', bytes: 1024 * MIB, inodes: 65_536 })
    expect(asUser.binds).toContainEqual({ source: '/data', target: '/home/user/data', mode: 'rw', live: true })
    expect(asUser.capabilities).toEqual([])
  })

  test('gives root inside nothing over the kernel, devices or networks', () => {
    const dangerous = ['SYS_ADMIN', 'SYS_PTRACE', 'SYS_MODULE', 'SYS_RAWIO', 'MKNOD', 'NET_ADMIN', 'NET_RAW', 'BPF', 'PERFMON', 'SYS_BOOT']
    expect(plan().capabilities.filter((name) => dangerous.includes(name))).toEqual([])
    expect(plan().noNewPrivileges).toBe(true)
  })

  test('lets sudo work where the profile says so and the host is root: that one program, and the rules it reads', () => {
    const willing = { ...profile, noNewPrivileges: false }
    const of = (chosen: Profile, root: boolean) => made({}, chosen, template, { ...facts, root })
    const sudo = of(willing, true)
    expect(sudo.noNewPrivileges).toBe(false)
    expect(sudo.binds.filter((bind) => bind.ownedBy === 'root').map(({ target }) => target)).toEqual(['/etc', '/usr/bin/sudo'])
    expect(sudo.binds.filter((bind) => bind.setuid === true).map(({ target }) => target)).toEqual(['/usr/bin/sudo'])
    for (const without of [of(willing, false), of(profile, true), of(profile, false)]) {
      expect(without.noNewPrivileges).toBe(true)
      expect(without.binds.filter((bind) => bind.setuid === true || bind.ownedBy === 'root')).toEqual([])
    }
  })

  test('has a root that can be written to where the profile says so and the host is root; then /usr and /etc are not bound', () => {
    const changeable: Profile = { ...profile, root: 'overlay' }
    const of = (chosen: Profile, root: boolean, from = template) => made({}, chosen, from, { ...facts, root })
    const targets = ({ binds }: Plan) => binds.map(({ target }) => target)
    const overlay = of(changeable, true)
    expect(overlay.root).toEqual({ kind: 'overlay', ground: template.ground, usr: '/usr' })
    expect(targets(overlay)).toEqual(['/usr/lib/nested'])
    for (const without of [of(changeable, false), of(profile, true)]) {
      expect(without.root).toEqual({ kind: 'read-only' })
      expect(targets(without)).toEqual(['/etc', '/usr', '/usr/lib/nested'])
    }
    expect(() => of(changeable, true, { ...template, ground: null })).toThrow(expect.objectContaining({ code: 'TEMPLATE_NOT_BUILT' }))
  })

  test('says that commands are recorded where the engine tells them, loads a library into every program where it needs it, and is refused over a template with no place to say so', () => {
    const of = (preload: string | null, from = template, traces = true) =>
      made({}, profile, from, { ...facts, wall: { name: 'gvisor', engine: { ...ENGINE, preload, traces }, sudo: false, mounts: true } })
    const { binds, files, audit } = of('/opt/preload.so')
    expect([audit.commands, of(null, template, false).audit.commands]).toEqual([true, false])
    expect(binds).toContainEqual({ source: '/opt/preload.so', target: '/caisson/preload.so', mode: 'ro' })
    expect(files).toContainEqual({ path: '/etc/ld.so.preload', content: '/caisson/preload.so\n', mode: 0o444 })
    expect(JSON.stringify([of(null), plan()])).not.toContain('ld.so.preload')
    expect(() => of('/opt/preload.so', { ...template, preloads: false })).toThrow(expect.objectContaining({ code: 'TEMPLATE_NOT_BUILT' }))
  })

  test('binds parents before children', () => {
    const targets = plan({ mounts: [{ source: '/data', target: '/usr-data', mode: 'ro' }] }).binds.map(({ target }) => target)
    for (const [index, target] of targets.entries()) {
      expect(targets.slice(index + 1).some((later) => target.startsWith(`${later}/`))).toBe(false)
    }
    expect(targets).toContain('/usr/lib/nested')
  })

  test('forks from the zygote where there is one, and from nothing where there is none', () => {
    expect(plan().zygote).toEqual({ socket: facts.zygoteSocket, forks: 1 })
    expect(plan({}, { zygoteSocket: null }).zygote).toBeNull()
  })

  test('of a zygote is a sandbox that nobody talks to, without anything of the request', () => {
    const zygote = planZygote(template, { ...facts, dir: '/state/zygotes/x', idleMs: 5, leash: 'none' })
    expect(zygote).toMatchObject({
      kind: 'zygote',
      capabilities: [],
      zygote: null,
      serve: { socket: '/state/zygotes/x/zygote.sock', idleMs: 5 },
    })
    // Its filter would be inherited by every fork.
    expect(zygote.audit.commands).toBe(false)
    expect(planZygote(template, { ...facts, root: false, dir: '/d', idleMs: 5, leash: 'none' }).limits).toMatchObject({
      memoryBytes: null,
      pids: null,
    })
  })
})

describe('a request is refused, by the name of its field, when', () => {
  const mount = (changed: object) => ({ mounts: [{ source: '/data', target: '/work', mode: 'ro', ...changed }] })
  test.each<[string, unknown, string]>([
    ['a field is not known', { memory: 512 }, 'memory: no such field'],
    ['a nested field is not known', mount({ readOnly: true }), 'mounts.0.readOnly: no such field'],
    ['memory is too little', { memoryMiB: 1 }, 'memoryMiB'],
    ['memory is not whole', { memoryMiB: 512.5 }, 'memoryMiB'],
    ['memory is text', { memoryMiB: '512' }, 'memoryMiB'],
    ['memory is infinite', { memoryMiB: Number.POSITIVE_INFINITY }, 'memoryMiB'],
    ['there are no CPUs', { cpus: 0 }, 'cpus'],
    ['time runs backwards', { timeoutMs: -1 }, 'timeoutMs'],
    ['the disk is unlimited', { diskMiB: null }, 'diskMiB'],
    ['the disk is larger than any', { diskMiB: 2 ** 40 }, 'diskMiB'],
    ['the network is not known', { network: 'wifi' }, 'network'],
    ['a variable has no name', { env: { '': 'x' } }, 'env'],
    ['a variable is two', { env: { 'A=B': 'x' } }, 'env'],
    ['a value has NUL in it', { env: { A: '\0' } }, 'env'],
    ['the leash is not known', { leash: 'long' }, 'leash'],
    ['a mount is relative', mount({ source: 'data' }), 'mounts.0.source'],
    ['a mount has NUL in it', mount({ source: '/a\0b' }), 'mounts.0.source'],
    ['a mount climbs', mount({ target: '/work/../etc' }), 'mounts.0.target'],
    ['a mount takes the root', mount({ target: '/' }), 'mounts.0.target'],
    ['a mount takes the root by another name', mount({ target: '//.//' }), 'mounts.0.target'],
    ['a mount takes the home', mount({ target: '/home/user/' }), 'mounts.0.target'],
    ['a mount takes /etc', mount({ target: '/etc/passwd' }), 'mounts.0.target'],
    ['a mount takes /proc', mount({ target: '/proc' }), 'mounts.0.target'],
    ['a mount takes the agent', mount({ target: '/caisson/agent' }), 'mounts.0.target'],
    ['a mount hides programs', mount({ target: '/usr/bin' }), 'mounts.0.target'],
    ["a mount shows Caisson's state", mount({ source: '/state/sandboxes' }), 'mounts.0.source'],
    ["a mount shows Caisson's state by its parent", mount({ source: '/' }), 'mounts.0.source'],
    ['a place is mounted twice', { mounts: [...mount({}).mounts, ...mount({ target: '/work/' }).mounts] }, 'mounts'],
    ['it is no object', 'please', 'expected object'],
  ])('%s', (_why, asked, named) => {
    expect(() => plan(asked)).toThrow(expect.objectContaining({ code: 'BAD_REQUEST', message: expect.stringContaining(named) }))
  })

  test('it has any field that is not in the shape', () => {
    const known = [...Object.keys(StrictCreateRequest.shape), '__proto__']
    const unknown = fc.string({ minLength: 1 }).filter((name) => !known.includes(name))
    fc.assert(
      fc.property(unknown, fc.jsonValue(), (name, value) => {
        expect(() => plan({ [name]: value })).toThrow(expect.objectContaining({ code: 'BAD_REQUEST', message: `${name}: no such field` }))
      }),
    )
  })
})

test('behind a wall with a kernel of its own, memory is refused that not even that kernel can start with', () => {
  const wall = { name: 'gvisor' as const, engine: ENGINE, sudo: false, mounts: true }
  const behind = (memoryMiB: number | null) => made({ memoryMiB }, profile, template, { ...facts, wall }).limits.memoryBytes
  expect(() => behind(31)).toThrow(expect.objectContaining({ code: 'BAD_REQUEST', message: expect.stringContaining('memoryMiB') }))
  expect([32, null].map(behind)).toEqual([32 * 1024 * 1024, null])
})

describe('a machine', () => {
  const files = { kernel: '/state/machine/kernel-6/vmlinux', initrd: '/state/engines/initrd-1', usr: '/state/machine/usr-1.erofs' }
  const parts = { vmm: 'qemu' as const, reader: null, ...files }
  const engine = { ...ENGINE, platform: 'tcg' as const }
  const wall = { name: 'microvm' as const, engine, machine: parts, sudo: false, mounts: false }
  const built = { ...template, shown: '/state/templates/code-interpreter/shown-1.erofs' }
  const of = (request: CreateRequest, from: Template = built) => made(request, profile, from, { ...facts, wall })

  test('is larger than what may run in it, and is shown nothing of the host but its images', () => {
    const plan = of({ memoryMiB: 256, cpus: 1.5 })
    expect(plan).toMatchObject({ machine: { ...parts, shown: built.shown, cpus: 2 }, binds: [], symlinks: [], root: { kind: 'read-only' } })
    expect(plan.machine?.memoryBytes).toBeGreaterThan(256 * 1024 * 1024)
    expect([plan.limits.memoryBytes, plan.audit.commands]).toEqual([256 * 1024 * 1024, true])
  })

  test('is refused by name where it cannot be what was asked for', () => {
    const refused = (code: string, words: string) => expect.objectContaining({ code, message: expect.stringContaining(words) })
    for (const memoryMiB of [null, 32]) expect(() => of({ memoryMiB })).toThrow(refused('BAD_REQUEST', 'memoryMiB'))
    expect(() => of({ mounts: [{ source: '/data', target: '/data', mode: 'ro' }] })).toThrow(refused('UNSUPPORTED', 'mounts'))
    expect(() => of({}, template)).toThrow(refused('TEMPLATE_NOT_BUILT', 'code-interpreter'))
  })
})
