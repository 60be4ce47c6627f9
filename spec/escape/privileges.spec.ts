import { describe, expect, test } from 'vitest'
import { privileges } from '../../client/attacks/privileges.ts'
import { Sandbox } from '../../client/index.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of privileges) attack(wall, one.name, one)

describe('what a process holds', () => {
  // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE (capabilities(7)), over the sandbox's own user namespace only.
  const ofRoot = '00000000000004fb'
  const none = '0000000000000000'
  for (const [user, held] of [
    ['user', none],
    ['root', ofRoot],
  ] as const) {
    test(`${user} holds exactly this`, async () => {
      const { stdout } = await wall.sandbox.commands.run(['/usr/bin/cat', '/proc/self/status'], { user })
      const status = Object.fromEntries(
        stdout
          .trim()
          .split('\n')
          .map((line) => line.split(':\t') as [string, string]),
      )
      expect(status).toMatchObject({
        CapInh: none,
        CapPrm: held,
        CapEff: held,
        CapBnd: ofRoot,
        CapAmb: none,
        NoNewPrivs: '1',
        Seccomp: '2',
      })
      const id = user === 'root' ? '0' : '1000'
      expect(status).toMatchObject({ Uid: [id, id, id, id].join('\t'), Gid: [id, id, id, id].join('\t') })
      expect(status['Groups']?.trim()).toBe(id)
    })
  }

  test('PID 1 has the same filter, and may gain nothing either', async () => {
    const { stdout } = await wall.sandbox.commands.run(['/usr/bin/cat', '/proc/1/status'], { user: 'root' })
    expect(stdout).toMatch(/^NoNewPrivs:\t1$/m)
    expect(stdout).toMatch(/^Seccomp:\t2$/m)
    expect(stdout).toMatch(new RegExp(`^CapBnd:\t${ofRoot}$`, 'm'))
  })

  test('a Python that was forked from the zygote holds no more, in the same namespaces', async () => {
    await using sandbox = await Sandbox.create({ template: 'code-interpreter' })
    const look =
      "import os\nprint(open('/proc/self/status').read())\nprint('\\n'.join(f'{name}:\\t{os.readlink(f\"/proc/self/ns/{name}\")}' for name in sorted(os.listdir('/proc/self/ns'))))"
    const [forked, started] = [await sandbox.runCode(look), await sandbox.commands.run(['/usr/bin/python3', '-I', '-c', look])]
    const of = (text: string) =>
      Object.fromEntries(
        text
          .split('\n')
          .filter(Boolean)
          .map((line) => line.split(':\t') as [string, string]),
      )
    const keys = [
      'Uid',
      'Gid',
      'Groups',
      'CapInh',
      'CapPrm',
      'CapEff',
      'CapBnd',
      'CapAmb',
      'NoNewPrivs',
      'Seccomp',
      'mnt',
      'pid',
      'net',
      'ipc',
      'uts',
      'user',
      'cgroup',
    ]
    const only = (all: Record<string, string>) => keys.map((key) => [key, all[key]])
    expect(only(of(forked.stdout))).toEqual(only(of(started.stdout)))
    expect(of(forked.stdout)).toMatchObject({ CapEff: none, CapPrm: none, NoNewPrivs: '1', Seccomp: '2', TracerPid: '0' })
  })

  test('ids inside are ids of no account on the host', async () => {
    const { stdout } = await wall.sandbox.commands.run(['/usr/bin/cat', '/proc/self/uid_map', '/proc/self/gid_map'])
    for (const line of stdout.trim().split('\n')) {
      const [inside, outside, count] = line.trim().split(/\s+/).map(Number)
      expect(inside).toBe(0)
      expect(outside).toBeGreaterThanOrEqual(65_536)
      expect(count).toBe(65_536)
    }
  })
})
