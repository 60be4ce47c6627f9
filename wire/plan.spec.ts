import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Plan } from './plan.ts'

const plan: Plan = {
  version: 1,
  id: 'iaaaaaaaaaaaaaaaaaaa',
  kind: 'sandbox',
  wall: 'container',
  engine: null,
  template: 'base',
  profile: 'default',
  leash: 'host',
  dir: '/state/sandboxes/i',
  deathRecord: '/state/deaths/i.json',
  agent: '/agent',
  binds: [{ source: '/usr', target: '/usr', mode: 'ro' }],
  symlinks: [{ path: '/bin', to: 'usr/bin' }],
  root: { kind: 'read-only' },
  files: [{ path: '/etc/hostname', content: 'i\n', mode: 0o644 }],
  writable: [{ target: '/tmp', owner: 'root', mode: 0o1777 }],
  disk: { kind: 'tmpfs', bytes: 1, inodes: 1 },
  hostName: 'i',
  user: { name: 'user', uid: 1000, gid: 1000, home: '/home/user' },
  network: { mode: 'none' },
  limits: { wallMs: 1, onWall: 'end', memoryBytes: 1, cpuMilli: 1, pids: 1, openFiles: 1, outputBytes: 1, onHit: 'end' },
  capabilities: ['CHOWN'],
  noNewPrivileges: true,
  seccomp: { profile: 'default', allowUserNamespaces: false },
  audit: { log: '/state/audit.jsonl', commands: true, maxBytes: 1 },
  zygote: { socket: '/state/z.sock', forks: 1 },
  serve: null,
}

/** Every object in a value, by its path. */
function objects(value: unknown, path: (string | number)[] = []): { path: (string | number)[]; object: Record<string, unknown> }[] {
  if (typeof value !== 'object' || value === null) return []
  const inner = Object.entries(value).flatMap(([key, member]) => objects(member, [...path, key]))
  return Array.isArray(value) ? inner : [{ path, object: value as Record<string, unknown> }, ...inner]
}

test('a plan survives its one line of JSON', () => {
  expect(Plan.parse(JSON.parse(JSON.stringify(plan)))).toEqual(plan)
})

test.each(objects(plan).map(({ path }) => [path.join('.') || 'the plan itself', path] as const))(
  '%s takes no field that is not known',
  (_name, path) => {
    const changed = structuredClone(plan)
    const place = objects(changed).find((one) => one.path.join() === path.join())
    if (place === undefined) throw new Error('not there')
    place.object['extra'] = 1
    const refused = Plan.safeParse(changed)
    expect(refused.error?.issues.some((issue) => issue.code === 'unrecognized_keys' && issue.keys.includes('extra'))).toBe(true)
  },
)

test('no field may be missing, but for the owner of a bind', () => {
  for (const { path, object } of objects(plan)) {
    for (const field of Object.keys(object)) {
      const changed = structuredClone(plan)
      delete objects(changed).find((one) => one.path.join() === path.join())?.object[field]
      expect([...path, field, Plan.safeParse(changed).success]).toEqual([...path, field, false])
    }
  }
})

test.each([
  ['climbs', '/home/../etc'],
  ['is relative', 'home'],
  ['has NUL in it', '/a\0'],
  ['is too long', `/${'a'.repeat(4096)}`],
])('a path inside that %s is refused', (_what, target) => {
  expect(Plan.safeParse({ ...plan, binds: [{ source: '/usr', target, mode: 'ro' }] }).success).toBe(false)
  expect(Plan.safeParse({ ...plan, files: [{ path: target, content: '', mode: 0o644 }] }).success).toBe(false)
  expect(Plan.safeParse({ ...plan, writable: [{ target, owner: 'root', mode: 0o755 }] }).success).toBe(false)
})

test('an id is fit for a cgroup, a file and a host name, or is none', () => {
  fc.assert(
    fc.property(fc.string(), (id) => {
      expect(Plan.safeParse({ ...plan, id }).success).toBe(/^[a-z0-9]{1,32}$/.test(id))
    }),
  )
})

test("the keeper's plan has the same fields, top to bottom", async () => {
  const rust = await readFile(new URL('../native/keeper/src/plan.rs', import.meta.url), 'utf8')
  const body = /pub struct Plan \{([^}]*)\}/.exec(rust)?.[1] ?? ''
  const fields = [...body.matchAll(/pub (\w+):/g)].map(([, name = '']) =>
    name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
  )
  // What only people read is not told to it.
  expect(fields).toEqual(Object.keys(Plan.shape).filter((field) => field !== 'wallReason'))
  const structs = [...rust.matchAll(/#\[derive\(Deserialize[^\]]*\)\]\n((?:#\[[^\n]*\n)*)pub struct (\w+)/g)]
  expect(structs.length).toBeGreaterThan(8)
  for (const [, attributes, name] of structs) expect([name, attributes]).toEqual([name, expect.stringContaining('deny_unknown_fields')])
})
