import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { SpecHost } from '../walls/home.ts'

// What bash gives beyond what every language does.

let host: SpecHost
let sandbox: Sandbox
beforeAll(async () => {
  host = await SpecHost.open()
  sandbox = await Sandbox.create({ timeoutMs: null, door: host.door })
})
afterAll(async () => {
  await sandbox.kill()
  await host[Symbol.asyncDispose]()
})

test('an alias that one cell defines is what the next ones say, also after the shell has ended', async () => {
  const run = (code: string) => sandbox.runCode(code, { language: 'bash' })
  await run("alias greet='echo hello'; for name in set alias declare shopt; do alias $name='echo not this one'; done")
  expect(await run('greet you')).toMatchObject({ stdout: 'hello you\n', stderr: '' })
  expect(await run('function set { echo nor this; }; function declare { set; }; exit 3')).toMatchObject({ stdout: '', exitCode: 3 })
  // What is said between two cells would be said by the next.
  await sandbox.commands.run('sleep 0.1')
  expect(await run('greet again')).toMatchObject({ stdout: 'hello again\n', stderr: '' })
  await run('unset -f set declare; unalias set alias declare shopt')
  expect(await run('unalias greet; shopt -u expand_aliases; alias greet="echo no"')).toMatchObject({ exitCode: 0 })
  expect(await run('greet')).toMatchObject({ stdout: '', exitCode: 127 })
})

test('what a cell sets stays after the shell has ended, also what changes how a shell reads', async () => {
  const own = await sandbox.contexts.create({ language: 'bash' })
  const run = (code: string) => sandbox.runCode(code, { context: own })
  const names = 'for name in set shopt declare; do eval "$name() { :; }"; export -f $name; done'
  const globs = 'shopt -s extglob\nnumber() { [[ $1 == +([0-9]) ]]; }\nshopt -u extglob'
  for (const code of [`x=1\nalias greet="echo hello"\n${globs}`, 'set -k', names, 'builtin set -o posix'])
    expect(await run(`${code}\nexit 4`), code).toMatchObject({ stdout: '', stderr: '', exitCode: 4 })
  expect(await run('[[ -o posix ]] && number 12 && greet $x')).toMatchObject({ stdout: 'hello 1\n', stderr: '' })
  await sandbox.contexts.delete(own)
})
