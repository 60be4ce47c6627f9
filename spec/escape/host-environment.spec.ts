import { expect, test } from 'vitest'
import { hostEnvironment } from '../../client/attacks/host-environment.ts'
import { attackAll, shared } from './attack.ts'

const wall = shared()
attackAll(wall, hostEnvironment())

test('a command has the variables that it was given, and those of its account and its template', async () => {
  const { stdout } = await wall.sandbox.commands.run(['/usr/bin/env'], { env: { GIVEN: 'yes' } })
  const names = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split('=')[0])
  const quiet = ['PIP_DISABLE_PIP_VERSION_CHECK', 'npm_config_update_notifier']
  expect(names.sort()).toEqual(['GIVEN', 'HOME', 'LANG', 'LOGNAME', 'PATH', 'SHELL', 'USER', ...quiet].sort())
})
