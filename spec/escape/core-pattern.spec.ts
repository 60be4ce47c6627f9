import { expect, test } from 'vitest'
import { corePattern } from '../../client/attacks/core-pattern.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of corePattern) attack(wall, one.name, one)

for (const user of ['user', 'root']) {
  test(`a crash of ${user} leaves no core and starts nothing`, async () => {
    const { stdout } = await wall.sandbox.commands.run(
      "ulimit -Hc; ulimit -Sc; cd /tmp; bash -c 'kill -SEGV $$' 2>/dev/null; echo $?; ls /tmp | grep -c core",
      { user },
    )
    expect(stdout.trim().split('\n').slice(-2)).toEqual(['139', '0'])
    const limits = await wall.sandbox.commands.run(['/usr/bin/grep', 'core file size', '/proc/self/limits'], { user })
    expect(limits.stdout.trim().split(/\s+/)).toEqual(['Max', 'core', 'file', 'size', '1', '1', 'bytes'])
  })
}
