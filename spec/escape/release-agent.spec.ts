import { expect, test } from 'vitest'
import { releaseAgent } from '../../client/attacks/release-agent.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of releaseAgent) attack(wall, one.name, one)

test('a process sees itself at the top of its control groups', async () => {
  const { stdout } = await wall.sandbox.commands.run(['/usr/bin/cat', '/proc/self/cgroup'], { user: 'root' })
  const paths = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(':')[2])
  // Those that the sandbox has none of its own in are the host's top, seen from where it was made.
  expect(paths.every((path) => path === '/')).toBe(true)
})
