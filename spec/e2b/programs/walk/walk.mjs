import assert from 'node:assert/strict'
import { Sandbox } from '@e2b/code-interpreter'
import { finish, step } from '../javascript/steps.mjs'

/** E2B's documentation, in its order: quick start, code, files, commands, life, internet. A server of the machine's: address:port. */
const [server] = [process.env.HOST_SERVER]
let sandbox = await Sandbox.create({ timeoutMs: 300_000 })

await step('code runs, and keeps its state', async () => {
  await sandbox.runCode('x = 1')
  assert.equal((await sandbox.runCode('x += 1; x')).text, '2')
})

await step('output is streamed, errors are told, charts come back', async () => {
  const lines = []
  await sandbox.runCode('print("a"); import sys; print("b", file=sys.stderr)', {
    onStdout: ({ line }) => void lines.push(`out ${line.trim()}`),
    onStderr: ({ line }) => void lines.push(`err ${line.trim()}`),
  })
  assert.deepEqual(lines.sort(), ['err b', 'out a'])
  assert.equal((await sandbox.runCode('1 / 0')).error?.name, 'ZeroDivisionError')
  const { results } = await sandbox.runCode('import matplotlib.pyplot as plt\nplt.plot([1, 2], [3, 4])\nplt.show()')
  assert.ok(results.some(({ png }) => png !== undefined))
})

await step('files go in, are worked on, and come out', async () => {
  await sandbox.files.write('/home/user/data.csv', 'n\n1\n2\n')
  await sandbox.runCode('import pandas as pd; (pd.read_csv("data.csv") * 2).to_csv("twice.csv", index=False)')
  assert.equal(await sandbox.files.read('/home/user/twice.csv'), 'n\n2\n4\n')
  const names = (await sandbox.files.list('/home/user')).map(({ name }) => name)
  assert.ok(names.includes('data.csv') && names.includes('twice.csv'), names.join())
})

await step('commands run, as root too, who may change the machine', async () => {
  assert.equal((await sandbox.commands.run('whoami')).stdout, 'user\n')
  const asRoot = 'sudo sh -c "echo 192.0.2.1 box >>/etc/hosts" && getent hosts box'
  assert.match((await sandbox.commands.run(asRoot)).stdout, /^192\.0\.2\.1/)
  const command = await sandbox.commands.run('read line; echo got $line', { background: true, stdin: true })
  await sandbox.commands.sendStdin(command.pid, 'it\n')
  assert.equal((await command.wait()).stdout, 'got it\n')
})

await step('it pauses, and goes on with its memory; its time is moved; it is listed', async () => {
  await sandbox.runCode('kept = "in memory"')
  await sandbox.pause()
  assert.equal(await sandbox.isRunning(), false)
  sandbox = await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 300_000 })
  assert.equal((await sandbox.runCode('kept')).text, 'in memory')
  await sandbox.setTimeout(600_000)
  const { endAt, startedAt } = await sandbox.getInfo()
  assert.ok(endAt.getTime() - startedAt.getTime() > 500_000)
  assert.ok((await Sandbox.list().nextItems()).some(({ sandboxId }) => sandboxId === sandbox.sandboxId))
})

await step('refused: the machine’s own network, though the internet is open', async () => {
  const { stdout } = await sandbox.commands.run(`curl -sS -m 20 http://${server}/ 2>&1 || true`)
  assert.equal(JSON.parse(stdout).code, 'NETWORK_DENIED')
})

await step('refused: any network, where it is blocked', async () => {
  const shut = await Sandbox.create({ allowInternetAccess: false, timeoutMs: 60_000 })
  assert.equal((await shut.commands.run('getent hosts example.com || echo none')).stdout, 'none\n')
  await shut.kill()
})

await step('refused: a command that fails, a file that is not there, a sandbox that has ended, each in its own way', async () => {
  await assert.rejects(sandbox.commands.run('exit 3'), { name: 'CommandExitError', exitCode: 3 })
  await assert.rejects(sandbox.files.read('/home/user/none'), { name: /NotFoundError$/ })
  const gone = await Sandbox.create({ timeoutMs: 60_000 })
  await gone.kill()
  await assert.rejects(gone.runCode('1'), { name: /TimeoutError|NotFoundError/ })
})

await step('refused: the machine: no process of it is seen, none of its files changed', async () => {
  const { stdout } = await sandbox.commands.run('sudo touch /usr/share/doc/mark && echo written; ls /home; cat /proc/1/comm')
  assert.equal(stdout, 'written\nuser\nagent\n')
})

await sandbox.kill()
finish()
