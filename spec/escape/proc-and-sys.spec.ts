import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { procAndSys } from '../../client/attacks/proc-and-sys.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of procAndSys) attack(wall, one.name, one)

test('what is masked in /proc is masked for good: nothing of the host lies beneath', async () => {
  const { stdout } = await wall.sandbox.commands.run('cat /proc/self/mountinfo', { user: 'root' })
  const mounts = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
  const at = mounts.map(([, , , , target]) => target)
  const masks = ['keys', 'key-users', 'kmsg', 'kallsyms', 'kcore', 'sysrq-trigger', 'timer_list', 'config.gz', 'acpi', 'fs', 'irq', 'bus']
  expect(at).toEqual(
    expect.arrayContaining(['/proc', '/proc/sys', ...masks.map((name) => `/proc/${name}`).filter((path) => existsSync(path))]),
  )
  // Shared mounts carry "shared:N": what is mounted in one would appear in the other.
  expect(stdout).not.toMatch(/ (shared|master):/)
  expect(at.filter((target) => target?.startsWith('/sys'))).toEqual(['/sys/devices/system/cpu'])
})
